"""A schema that is invalid, impossible or cannot be enforced is refused, with the place."""

from __future__ import annotations

from typing import Any

import pytest

from openautoglm.engine.structured import compile_schema
from openautoglm.errors import SchemaError

Schema = dict[str, object]

LOOP: Schema = {"type": "array", "minItems": 1, "items": {"$ref": "#"}}
UNENFORCED: list[tuple[Schema, str]] = [
    ({"properties": {"a": {"type": "string", "nullable": True}}}, "/properties/a/nullable"),
    ({"items": {"type": "string", "contentEncoding": "base64"}}, "/items/contentEncoding"),
    ({"type": "string", "maxLenght": 3}, "did you mean `maxLength`"),
    ({"type": "string", "x-extractiv": True}, "did you mean `x-extractive`"),
    ({"type": "string", "x-guidance": {}}, "/x-guidance"),
    ({"type": "string", "format": "regex"}, "/format"),
    ({"type": "string", "format": "dat"}, "did you mean `date`"),
    ({"items": {"type": "string", "pattern": "^a(?=b)"}}, "/items/pattern"),
    ({"type": "string", "pattern": "(?i)a"}, "/pattern"),
    ({"properties": {"a": {}}, "required": ["b"]}, "add `b` to `properties`"),
    ({"items": {"properties": {"name": {}}, "required": ["nam"]}}, "did you mean `name`?"),
    ({"type": "string", "pattern": r"(a)\1"}, "/pattern"),
    ({"type": "string", "pattern": r"\bx"}, "/pattern"),
    ({"type": "string", "pattern": r"[\D]"}, "/pattern"),
    ({"type": "string", "pattern": "[a--b]"}, "/pattern"),
    ({"properties": {"a\x01": {}}}, "/properties/a\x01"),
    ({"const": 2**60}, "/const"),
    ({"enum": ["\x01"]}, "/enum"),
    ({"const": 1e300}, "/const"),
    ({"type": "number", "maximum": 1e30}, "/maximum"),
    ({"type": "object", "minProperties": 2}, "/minProperties"),
    ({"$ref": "https://example.org/other"}, "/$ref"),
    ({"$ref": "#/$defs/gone", "$defs": {}}, "/$ref"),
    ({"$ref": "#/x-defs/a", "x-defs": {"a": {"uniqueItems": True}}}, "/$ref"),
    ({"$schema": "http://json-schema.org/draft-04/schema#"}, "/$schema"),
    ({"items": {"$id": "x"}}, "/items/$id"),
    ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf"),
]
IMPOSSIBLE: list[tuple[Schema, str]] = [
    ({"type": "integer", "minimum": 3, "maximum": 1}, "/minimum"),
    ({"type": "number", "exclusiveMinimum": 1, "maximum": 1}, "/exclusiveMinimum"),
    ({"type": "string", "minLength": 3, "maxLength": 1}, "/minLength"),
    ({"items": {"type": "array", "minItems": 3, "maxItems": 1}}, "/items/minItems"),
    ({"enum": []}, "/enum"),
    ({"type": "integer", "enum": [1, "a"]}, "/enum/1"),
    ({"type": "string", "const": 1}, "/const"),
    ({"type": "object", "required": ["b"], "additionalProperties": False}, "/required"),
    ({"properties": {"a": False}, "required": ["a"]}, "/required"),
    ({"type": "array", "prefixItems": [{}], "items": False, "minItems": 2}, "/minItems"),
    (
        {"type": "object", "properties": {}, "additionalProperties": False, "minProperties": 1},
        "/minProperties",
    ),
    ({"type": "object", "required": ["a", "b"], "maxProperties": 1}, "/maxProperties"),
    ({"properties": {"x": {"$ref": "#"}}, "required": ["x"]}, "without end"),
    ({"$ref": "#"}, "without end"),
    (
        {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"type": "array", "minItems": 1, "items": {"$ref": "#"}}},
        },
        "without end",
    ),
    ({"properties": {"a": {"type": "string", "pattern": "^a$", "minLength": 3}}}, "/properties/a"),
    ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, "decoded"),
]
INVALID: list[tuple[object, str]] = [
    ({"type": "text"}, "/type"),
    ({"type": "strin"}, "did you mean `string`?"),
    ({"properties": {"a": "string"}}, 'write {"type": "string"}'),
    ({"properties": {"a": {"minLength": -1}}}, "/properties/a/minLength"),
    ({"items": [{"type": "string"}]}, "/items"),
    ({"required": "a"}, "/required"),
    ({"pattern": "("}, "/pattern"),
    ({"const": {1, 2}}, "not JSON"),
    ({"const": float("nan")}, "not JSON"),
    ("string", "mapping"),
]
COPIED: list[tuple[Schema, str]] = [
    ({"type": "integer", "x-extractive": True}, "/x-extractive"),
    ({"x-extractive": True}, "/x-extractive"),
    ({"type": "string", "x-extractive": "yes"}, "/x-extractive"),
    ({"type": "string", "x-extractive": {"unit": "line"}}, "/x-extractive"),
    ({"type": "string", "x-extractive": True, "pattern": "^a$"}, "/pattern"),
    ({"type": "string", "x-extractive": True, "enum": ["a"]}, "/enum"),
    ({"type": "object", "additionalProperties": {"type": "string", "x-extractive": True}}, "add"),
    (
        {"allOf": [{"type": "string", "x-extractive": True}, {"type": "string"}]},
        "/allOf",
    ),
    ({"oneOf": [{"type": "string", "x-extractive": True}, {"type": "null"}]}, "write `anyOf`"),
    (
        {
            "properties": {"a": {"type": "string", "x-extractive": True}, "n": {"allOf": [{}, {}]}},
            "required": ["b"],
        },
        "`/required` asks for `b`",
    ),
    ({"type": "string", "x-extractive": True, "minLength": 100}, "nothing"),
]


@pytest.mark.parametrize(("schema", "said"), [*UNENFORCED, *IMPOSSIBLE, *INVALID, *COPIED])
def test_the_refusal_names_the_place(schema: dict[str, object], said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema(schema, "some source text")
    assert said in str(caught.value)
    assert caught.value.fix


def test_a_copied_string_needs_a_source() -> None:
    with pytest.raises(SchemaError, match="needs a text to copy from"):
        compile_schema({"type": "string", "x-extractive": True})


def test_a_source_that_is_no_text_is_refused() -> None:
    wrong: Any = b"bytes"
    with pytest.raises(SchemaError, match="copies from a text"):
        compile_schema({"type": "string", "x-extractive": True}, wrong)


@pytest.mark.parametrize("source", ["", "  \n\t", "\u3000"])
def test_a_blank_source_leaves_only_null(source: str) -> None:
    with pytest.raises(SchemaError, match="nothing that the root could be copied from"):
        compile_schema({"type": "string", "x-extractive": True}, source)
    grammar = compile_schema({"type": ["string", "null"], "x-extractive": True}, source)
    assert grammar.parse("null").value is None


def test_a_source_beyond_the_limit_is_refused_before_any_work() -> None:
    with pytest.raises(SchemaError, match="too long"):
        compile_schema({"type": "string", "x-extractive": True}, "a" * 100_001)


def test_half_a_surrogate_pair_in_the_source_is_refused() -> None:
    with pytest.raises(SchemaError, match="not valid Unicode"):
        compile_schema({"type": "string", "x-extractive": True}, "a\ud83d")


@pytest.mark.parametrize("depth", [60, 5_000])
def test_a_schema_nested_beyond_the_limit_is_refused(depth: int) -> None:
    schema: dict[str, object] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": {"anyOf": [schema]}}
    with pytest.raises(SchemaError, match=r"nested too deeply|not JSON"):
        compile_schema(schema)


def test_a_schema_of_many_references_is_checked_in_reasonable_time() -> None:
    definitions: dict[str, object] = {
        f"d{n}": {
            "type": "object",
            "properties": {"l": {"$ref": f"#/$defs/d{n + 1}"}, "r": {"$ref": f"#/$defs/d{n + 1}"}},
            "required": ["l", "r"],
        }
        for n in range(40)
    }
    definitions["d40"] = {"type": "string", "x-extractive": True}
    grammar = compile_schema({"$ref": "#/$defs/d0", "$defs": definitions}, "text")
    assert grammar.text.count("VALUE") == 2
