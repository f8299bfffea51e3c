"""Regular expressions, choices, grammars and `response_format`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.engine.structured import Form, Grammar, compile_form, read_form
from openautoglm.engine.structured.rules import rule_without_end
from openautoglm.errors import (
    InvalidParameterError,
    OpenAutoGLMError,
    OutputParseError,
    SchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

POINT: dict[str, object] = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": ["integer", "null"]}},
    "required": ["x", "y"],
    "additionalProperties": False,
}
ARITHMETIC = """
root ::= term ("+" term)*   # sums
term ::= [0-9]+ | "(" root ")"
"""
TEXTS: list[tuple[dict[str, object], list[str], list[str]]] = [
    ({"regex": r"\d{3}-[a-z]+"}, ["123-ab"], ["12-ab", "123-", "٣٣٣-ab"]),
    ({"regex": r"^(?:yes|no)$"}, ["yes", "no"], ["ye", "nope"]),
    ({"regex": "^a$|^b$"}, ["a", "b"], ["", "ab"]),
    ({"regex": "a/b\\/c"}, ["a/b/c"], ["ab"]),
    ({"regex": "x*"}, ["", "xx"], ["y"]),
    ({"regex": "(?:b|c{200000})[){(|]{3}(?:d{90000})?e"}, ["b(){e", "b(||e"], ["b(e"]),
    ({"regex": "(?:é|中)+"}, ["é中"], ["e"]),
    ({"choice": ["yes", "no", "not sure"]}, ["yes", "no", "not sure"], ["not", "nope", ""]),
    ({"choice": ['say "hi"', "a\\b", "线\n2"]}, ['say "hi"', "a\\b", "线\n2"], ["hi"]),
    ({"grammar": 'start: "a" start "b" | "ab"'}, ["ab", "aabb"], ["aab", "a"]),
    ({"grammar": ARITHMETIC}, ["1+2", "(1+22)+3", "7"], ["1+", "()", "a"]),
    ({"grammar": 'root ::= "\\u0041" [\\u0062-\\u0064]{2} "\\u00e9"?'}, ["Abd", "Abcé"], ["Ab"]),
    ({"grammar": 'start: "a/b{1000000000}" /c\\/?/'}, ["a/b{1000000000}c/"], ["a/bc"]),
    ({"grammar": 'start: "v" %json {"type": "integer", "minimum": 5}'}, ["v7"], ["v1", "7"]),
    ({"response_format": {"type": "regex", "regex": "a+"}}, ["aa"], ["b"]),
    ({"response_format": {"type": "choice", "choice": ["a"]}}, ["a"], ["b"]),
    ({"response_format": {"type": "grammar", "grammar": 'start: "a"'}}, ["a"], ["b"]),
]
WRONG: list[tuple[dict[str, object], str]] = [
    ({"regex": "a", "choice": ["a"]}, "one form only"),
    ({"schema": {"type": "null"}, "response_format": {"type": "text"}}, "one form only"),
    ({"regex": 7}, "`regex` must be a text"),
    ({"regex": "("}, "`regex` is not"),
    ({"regex": "(?=a)b"}, "looks around"),
    ({"regex": r"(a)\1"}, "no counterpart"),
    ({"regex": r"a\bb"}, "no counterpart"),
    ({"regex": "a^b"}, "in the middle"),
    ({"regex": r"[^\s\S]"}, "nothing matches it"),
    ({"regex": "a{1000000000}"}, "more than 100000 characters"),
    ({"regex": "((?:ab{5}){100,}c?){1000}|a{100001}"}, "more than 100000 characters"),
    ({"regex": "(" * 2000 + ")" * 2000}, "recursion"),
    ({"regex": "\ud800"}, "half of a surrogate pair"),
    ({"choice": ["a", "\ud800"]}, "half of a surrogate pair"),
    ({"grammar": 'start: "\ud800"'}, "half of a surrogate pair"),
    ({"grammar": "start: A\nA: /a{1000000000}/"}, "more than 100000 characters"),
    ({"schema": {"const": "\ud800"}}, "surrogates not allowed"),
    ({"schema": {"type": "string", "pattern": "^a{1000000000}$"}}, "more than 100000 characters"),
    ({"response_format": {"type": "regex"}}, "needs its `regex`"),
    ({"response_format": {"type": "choice", "choice": None}}, "needs its `choice`"),
    ({"choice": []}, "none of them empty"),
    ({"choice": ["a", ""]}, "none of them empty"),
    ({"choice": "yes"}, "must be a list"),
    ({"choice": [1]}, "must be a list"),
    ({"grammar": ""}, "must be a text"),
    ({"grammar": "hello"}, "`grammar` cannot be decoded under"),
    ({"grammar": "start: other"}, "unknown name"),
    ({"grammar": 'start: "a" start'}, "rule `start`"),
    ({"grammar": 'start: a\na: "x" b\nb: a+'}, "can never end"),
    ({"grammar": 'root ::= "x" root'}, "can never end"),
    ({"grammar": "root ::= [a"}, "cannot be read as GBNF"),
    ({"response_format": {"type": "jsno_object"}}, "did you mean `json_object`?"),
    ({"response_format": "json"}, "which `type`"),
    ({"response_format": {"type": "text", "schema": {}}}, "no key `schema`"),
    ({"response_format": {"type": "json_schema"}}, "needs its `json_schema`"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "name"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
        "1 to 64 letters",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": 1}}},
        "true or false",
    ),
]
NOT_STRICT: list[tuple[dict[str, object], str]] = [
    ({"type": "array", "items": POINT}, "make the root"),
    ({**POINT, "additionalProperties": True}, "`/additionalProperties`"),
    ({**POINT, "required": ["x"]}, "without y"),
    ({"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]}, "/addit"),
    ({**POINT, "allOf": [POINT]}, "`/allOf`"),
    ({**POINT, "$defs": {"p": {**POINT, "required": []}}}, "`/$defs/p/required`"),
]


def strict(schema: dict[str, object], *, is_strict: bool = True) -> dict[str, object]:
    body = {"name": "point", "schema": schema, "strict": is_strict}
    return {"response_format": {"type": "json_schema", "json_schema": body}}


def grammar_of(given: dict[str, object]) -> Grammar:
    form = read_form(given)
    assert form is not None
    return compile_form(form)


@pytest.mark.parametrize(("given", "said", "unsaid"), TEXTS)
def test_only_texts_of_the_form_can_be_written_and_a_text_is_its_own_value(
    given: dict[str, object],
    said: list[str],
    unsaid: list[str],
    accepts: Callable[[Grammar, str], bool],
) -> None:
    grammar = grammar_of(given)
    assert [text for text in said if not accepts(grammar, text)] == []
    assert [text for text in unsaid if accepts(grammar, text)] == []
    assert [grammar.parse(text).value for text in said] == said
    for text in unsaid:
        with pytest.raises(OutputParseError, match="does not have the form"):
            grammar.parse(text)


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_a_form_that_cannot_be_is_refused_with_the_fix(given: dict[str, object], said: str) -> None:
    with pytest.raises(OpenAutoGLMError) as caught:
        grammar_of(given)
    assert isinstance(caught.value, (InvalidParameterError, SchemaError))
    assert said in str(caught.value)
    assert caught.value.fix


def test_a_text_is_no_form_and_a_json_object_is_any_object(
    accepts: Callable[[Grammar, str], bool],
) -> None:
    assert read_form({"response_format": {"type": "text"}}) is None
    assert read_form({"schema": None, "regex": None}) is None
    grammar = grammar_of({"response_format": {"type": "json_object"}})
    assert accepts(grammar, '{"a":[1,{"b":null}]}')
    assert not accepts(grammar, "[1]")
    assert grammar.parse('{"a":1}').value == {"a": 1}


@pytest.mark.parametrize(("schema", "said"), NOT_STRICT)
def test_strict_refuses_what_openai_refuses_and_the_same_passes_when_it_is_not_strict(
    schema: dict[str, object], said: str
) -> None:
    with pytest.raises(SchemaError, match="strict") as caught:
        grammar_of(strict(schema))
    assert said in str(caught.value)
    assert grammar_of(strict(schema, is_strict=False)).schema == schema


def test_a_strict_schema_is_decoded_under() -> None:
    form = read_form(strict(POINT))
    assert form is not None
    assert (form.name, form.strict) == ("point", True)
    assert compile_form(form).parse('{"x":1,"y":null}').value == {"x": 1, "y": None}


@pytest.mark.parametrize(
    "given", [{"schema": POINT}, strict(POINT), *(row[0] for row in TEXTS[::4])]
)
def test_a_form_is_the_same_after_it_was_written_down(given: dict[str, object]) -> None:
    form = read_form(given)
    assert isinstance(form, Form)
    assert read_form({"response_format": form.plain()}) == form


@pytest.mark.parametrize(
    "lark",
    [
        'start: "a"* start?',
        'start: ("x" start)? "b"',
        'start: item ("," item)*\nitem: WORD | "[" start "]"\nWORD: /[a-z]+/ // letters',
        'start: pair{2,3}\npair: "k" ":" %json {"type": "object", "a": "}"}',
        "start: start{0,2} /x/",
        'start[capture]: a::x\na: "b" | a "c"\n%ignore /[ ]+/',
    ],
)
def test_a_grammar_with_a_way_out_of_its_rules_passes(lark: str) -> None:
    assert rule_without_end(lark) is None
