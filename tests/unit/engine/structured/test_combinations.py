"""Keywords that combine schemas are followed while decoding: what they forbid cannot be written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from openautoglm.engine.structured import Grammar, compile_schema
from openautoglm.errors import OutputParseError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

Schema = dict[str, object]

TEXT: Schema = {"type": "string", "maxLength": 4}
NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 99}
CARD: Schema = {
    "type": "object",
    "properties": {"kind": {"enum": ["card", "cash"]}, "number": TEXT, "till": NUMBER},
    "required": ["kind"],
}
OPEN: Schema = {"type": "object", "additionalProperties": NUMBER}
ALL_OF: Schema = {
    "$defs": {"base": {"type": "object", "properties": {"id": NUMBER}, "required": ["id"]}},
    "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"name": TEXT}, "required": ["name"]}],
}
TREE: Schema = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": NUMBER, "next": {"$ref": "#/$defs/node"}},
            "required": ["v"],
        }
    },
    "allOf": [{"$ref": "#/$defs/node"}, {"required": ["next"]}],
}
WRITTEN: list[tuple[str, Schema, list[str], list[str]]] = [
    (
        "if then else",
        {
            **CARD,
            "if": {"properties": {"kind": {"const": "card"}}, "required": ["kind"]},
            "then": {"required": ["number"]},
            "else": {"properties": {"number": False}},
        },
        ['{"kind":"card","number":"1"}', '{"kind":"cash"}', '{"kind":"cash","till":3}'],
        ['{"kind":"card"}', '{"kind":"cash","number":"1"}'],
    ),
    (
        "if in allOf",
        {
            **CARD,
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": "card"}}},
                    "then": {"required": ["number"]},
                },
                {
                    "if": {"properties": {"kind": {"const": "cash"}}},
                    "then": {"required": ["till"]},
                },
            ],
        },
        ['{"kind":"card","number":"1"}', '{"kind":"cash","till":3}'],
        ['{"kind":"card"}', '{"kind":"cash"}', '{"kind":"card","till":3}'],
    ),
    (
        "dependentRequired",
        {**CARD, "dependentRequired": {"number": ["till"]}},
        ['{"kind":"card"}', '{"kind":"card","number":"1","till":2}', '{"kind":"card","till":2}'],
        ['{"kind":"card","number":"1"}'],
    ),
    (
        "dependentSchemas",
        {**CARD, "dependentSchemas": {"till": {"properties": {"kind": {"const": "cash"}}}}},
        ['{"kind":"card"}', '{"kind":"cash","till":2}'],
        ['{"kind":"card","till":2}'],
    ),
    (
        "not required",
        {**CARD, "not": {"required": ["number", "till"]}},
        ['{"kind":"card","number":"1"}', '{"kind":"card","till":1}'],
        ['{"kind":"card","number":"1","till":1}'],
    ),
    ("not const", {"enum": ["a", "b"], "not": {"const": "a"}}, ['"b"'], ['"a"']),
    (
        "not enum of texts",
        {"type": "string", "maxLength": 5, "not": {"enum": ["no", "none", ""]}},
        ['"n"', '"non"', '"nones"', '"yes"'],
        ['"no"', '"none"', '""'],
    ),
    ("not null", {"type": ["null", "boolean"], "not": {"type": "null"}}, ["true"], ["null"]),
    ("not below", {**NUMBER, "not": {"maximum": 9}}, ["10"], ["9"]),
    (
        "exactly one of two",
        {**CARD, "oneOf": [{"required": ["number"]}, {"required": ["till"]}]},
        ['{"kind":"card","number":"1"}', '{"kind":"card","till":1}'],
        ['{"kind":"card"}', '{"kind":"card","number":"1","till":1}'],
    ),
    (
        "at least one of two",
        {**CARD, "anyOf": [{"required": ["number"]}, {"required": ["till"]}]},
        ['{"kind":"card","number":"1"}', '{"kind":"card","number":"1","till":1}'],
        ['{"kind":"card"}'],
    ),
    (
        "formats exclude each other",
        {"oneOf": [{"type": "string", "format": f} for f in ("ipv4", "uuid", "date")]},
        ['"127.0.0.1"', '"2024-02-29"'],
        ['"2023-02-29"', '"a"'],
    ),
    (
        "allOf",
        ALL_OF,
        ['{"id":1,"name":"a"}'],
        ['{"id":1}', '{"name":"a"}', '{"id":1,"name":"a","x":1}'],
    ),
    (
        "allOf below a reference to itself",
        TREE,
        ['{"v":1,"next":{"v":2}}', '{"v":1,"next":{"v":2,"next":{"v":3}}}'],
        ['{"v":1}'],
    ),
    (
        "unevaluatedProperties",
        {**ALL_OF, "unevaluatedProperties": False},
        ['{"id":1,"name":"a"}'],
        ['{"id":1,"name":"a","x":1}'],
    ),
    (
        "contains",
        {"type": "array", "items": NUMBER, "contains": {"const": 7}, "maxItems": 3},
        ["[7]", "[7,1,2]"],
        ["[]", "[1]"],
    ),
    (
        "unique values of a few",
        {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 1},
        ['["a"]', '["c","a"]', '["b","c","a"]'],
        ['["a","a"]', "[]"],
    ),
    (
        "unique values of more than can be put in every order",
        {"type": "array", "items": {"enum": list("abcdef")}, "uniqueItems": True},
        ['["a","f"]', "[]"],
        ['["a","a"]', '["b","c","b"]'],
    ),
    (
        "propertyNames by pattern",
        {**OPEN, "propertyNames": {"pattern": "^[a-c]{2}$"}},
        ['{"ab":1}', "{}"],
        ['{"abc":1}', '{"x":1}'],
    ),
    (
        "propertyNames by list",
        {**OPEN, "propertyNames": {"enum": ["de", "en"]}},
        ['{"de":1,"en":2}', '{"en":2}'],
        ['{"fr":1}'],
    ),
    (
        "propertyNames by length",
        {**OPEN, "propertyNames": {"maxLength": 2}},
        ['{"ab":1}'],
        ['{"abc":1}'],
    ),
    (
        "two of three properties",
        {
            "type": "object",
            "properties": dict.fromkeys("abc", NUMBER),
            "additionalProperties": False,
            "minProperties": 2,
        },
        ['{"a":1,"c":2}', '{"a":1,"b":2,"c":3}'],
        ['{"a":1}', "{}"],
    ),
    (
        "one of three properties",
        {
            "type": "object",
            "properties": dict.fromkeys("abc", NUMBER),
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
        ['{"a":1}', '{"c":2}'],
        ['{"a":1,"b":2}', "{}"],
    ),
    (
        "a named property that a pattern is about too",
        {
            "type": "object",
            "properties": {"x-a": {"type": "integer", "maximum": 9}},
            "patternProperties": {"^x-": {"minimum": 5}},
            "additionalProperties": False,
        },
        ['{"x-a":7}'],
        ['{"x-a":1}', '{"x-a":11}'],
    ),
    (
        "beside a reference",
        {"$defs": {"n": NUMBER}, "$ref": "#/$defs/n", "minimum": 50},
        ["50"],
        ["49"],
    ),
    (
        "two patterns",
        {"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "b$"}, {"maxLength": 3}]},
        ['"ab"', '"axb"'],
        ['"a"', '"abbb"'],
    ),
]
NEVER: list[tuple[Schema, str]] = [
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "no value satisfies the root"),
    ({"properties": {"a": {"allOf": [{"enum": ["a"]}, {"enum": ["b"]}]}}}, "`/properties/a`"),
    ({"type": "string", "not": {"type": "string"}}, "no value satisfies"),
    ({"not": {}}, "no value satisfies"),
    ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "no value satisfies"),
    ({"allOf": [{"minimum": 5, "type": "integer"}, {"maximum": 4}]}, "no value satisfies"),
    (
        {
            "allOf": [
                {"properties": {"a": {}}, "required": ["a"], "type": "object"},
                {"properties": {"b": {}}, "additionalProperties": False},
            ]
        },
        "no value satisfies",
    ),
    (
        {"oneOf": [{"type": "string", "pattern": "a"}, {"type": "string", "pattern": "b"}]},
        "write `anyOf`",
    ),
    ({"then": {}}, "add `if`"),
    ({"type": "array", "maxContains": 2}, "add `contains`"),
]
AFTERWARDS: list[tuple[Schema, str, str]] = [
    ({"type": "array", "items": TEXT, "uniqueItems": True}, '["a","b"]', '["a","a"]'),
    ({"type": "string", "not": {"pattern": "^x"}}, '"ax"', '"xa"'),
]


@pytest.mark.parametrize(
    ("schema", "said", "unsaid"), [row[1:] for row in WRITTEN], ids=[row[0] for row in WRITTEN]
)
def test_only_what_the_schema_allows_can_be_written(
    schema: Schema, said: list[str], unsaid: list[str], accepts: Callable[[Grammar, str], bool]
) -> None:
    grammar = compile_schema(schema)
    assert [text for text in said if not accepts(grammar, text)] == []
    assert [text for text in unsaid if accepts(grammar, text)] == []
    assert [grammar.parse(text).value for text in said] == [json.loads(text) for text in said]
    assert grammar.checked == ()


@pytest.mark.parametrize(("schema", "said"), NEVER)
def test_combinations_that_leave_nothing_or_cannot_be_told_apart_are_refused(
    schema: Schema, said: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema(schema)
    assert said in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(("schema", "right", "wrong"), AFTERWARDS)
def test_what_cannot_be_followed_is_named_and_the_answer_is_checked_for_it(
    schema: Schema, right: str, wrong: str
) -> None:
    grammar = compile_schema(schema)
    assert len(grammar.checked) == 1
    assert grammar.parse(right).value == json.loads(right)
    with pytest.raises(OutputParseError, match="does not follow the schema"):
        grammar.parse(wrong)


def test_a_schema_that_comes_to_too_many_alternatives_is_refused_at_once() -> None:
    pairs: list[object] = [
        {"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(12)
    ]
    with pytest.raises(SchemaError, match="combines too many schemas"):
        compile_schema({"type": "object", "allOf": pairs})
