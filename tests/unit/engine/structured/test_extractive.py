"""A copied value is a part of the source, whatever characters either is made of."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.engine.structured import Grammar, compile_schema, extractive, parse
from openautoglm.engine.structured import grammar as grammar_of
from openautoglm.engine.structured.units import find, fits, pieces
from openautoglm.errors import OutputParseError, SchemaError

Accepts = Callable[[Grammar, str], bool]
CHARACTERS: dict[str, object] = {"type": "string", "x-extractive": {"unit": "character"}}
WORDS: dict[str, object] = {"type": "string", "x-extractive": True}

awkward = st.sampled_from('"\\/\n\r\t\b\f\x00\x01\x0b\x1f\x7f 　Ａ１，。张三😀é\u0301\u200d👩&<nu0')
texts = st.text(
    st.one_of(awkward, st.characters(exclude_categories=["Cs"])), min_size=1, max_size=25
)
few = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def written(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


@few
@given(source=texts, data=st.data())
def test_any_part_of_any_source_can_be_copied_and_read_back(
    source: str, data: st.DataObject, accepts: Accepts
) -> None:
    start = data.draw(st.integers(0, len(source) - 1))
    end = data.draw(st.integers(start + 1, len(source)))
    value = source[start:end]
    grammar = compile_schema(CHARACTERS, source)
    assert accepts(grammar, written(value))
    parsed = grammar.parse(written(value))
    assert parsed.value == value
    at, to = parsed.offsets[""]
    assert source[at:to] == value
    assert at <= start


@few
@given(source=texts, value=texts)
def test_nothing_that_is_not_in_the_source_can_be_written(
    source: str, value: str, accepts: Accepts
) -> None:
    grammar = compile_schema(CHARACTERS, source)
    assert accepts(grammar, written(value)) == (value in source)


@few
@given(source=texts.filter(str.strip), data=st.data())
def test_words_accept_what_find_finds_and_nothing_else(
    source: str, data: st.DataObject, accepts: Accepts
) -> None:
    start = data.draw(st.integers(0, len(source) - 1))
    end = data.draw(st.integers(start, len(source)))
    value = source[start:end]
    grammar = compile_schema(WORDS, source)
    assert accepts(grammar, written(value)) == (find(value, source, "word") is not None)


@few
@given(source=texts, least=st.integers(0, 6), most=st.integers(6, 9), data=st.data())
def test_lengths_count_characters_and_not_escapes(
    source: str, least: int, most: int, data: st.DataObject, accepts: Accepts
) -> None:
    cut = pieces(source, "character")
    if not fits(cut, "character", least, most):
        return
    grammar = compile_schema({**CHARACTERS, "minLength": least, "maxLength": most}, source)
    start = data.draw(st.integers(0, len(source) - 1))
    value = source[start : data.draw(st.integers(start + 1, len(source)))]
    assert accepts(grammar, written(value)) == (least <= len(value) <= most)


@given(source=texts)
def test_pieces_join_to_the_source(source: str) -> None:
    assert "".join(pieces(source, "word")) == source
    assert "".join(pieces(source, "character")) == source


@given(source=texts, least=st.integers(0, 6), most=st.integers(1, 9))
def test_fits_agrees_with_trying_every_part(source: str, least: int, most: int) -> None:
    parts = {source[a:b] for a in range(len(source)) for b in range(a + 1, len(source) + 1)}
    held = any(least <= len(p) <= most and find(p, source, "word") is not None for p in parts)
    assert fits(pieces(source, "word"), "word", least, most) == held


@pytest.mark.parametrize(
    ("source", "value", "is_whole"),
    [
        ("Call Smith now", "Smith", True),
        ("Call Smith now", "Smi", False),
        ("Call Smith now", "mith", False),
        ("Call Smith now", "Smith now", True),
        ("Call Smith now", " Smith", False),
        ("Smith's order", "Smith", True),
        ("paid 12,500.00 euro", "12,500.00", True),
        ("paid 12,500.00 euro", "500", False),
        ("order A1001-22", "A1001", True),
        ("order A1001-22", "1001", False),
        ("on 2024-05-01", "2024", True),
        ("张三在北京", "张三", True),
        ("张三在北京", "三在", True),
        ("订单A1001迟到", "A1001", True),
        ("订单A1001迟到", "单A1", False),
        ("caf\u0065\u0301 noir", "cafe", False),
        ("김철수는 왔다", "김철수", True),
        ("ไปกรุงเทพ", "กรุงเทพ", True),
    ],
)
def test_a_word_is_never_cut(source: str, value: str, accepts: Accepts, *, is_whole: bool) -> None:
    grammar = compile_schema(WORDS, source)
    assert accepts(grammar, written(value)) == is_whole
    assert (find(value, source, "word") is not None) == is_whole


def test_the_place_is_the_first_occurrence_that_is_whole_words() -> None:
    assert parse('"Sam"', WORDS, "Samuel met Sam, and Sam").offsets == {"": (11, 14)}


def test_offsets_count_code_points_and_name_every_copied_value() -> None:
    item = {"type": "object", "properties": {"a/b": WORDS}, "required": ["a/b"]}
    schema: dict[str, object] = {
        "type": "object",
        "properties": {
            "head": {"anyOf": [{"const": "none"}, {"$ref": "#/$defs/words"}]},
            "items": {"type": "array", "items": item},
            "plain": {"type": "string"},
        },
        "$defs": {"words": WORDS},
    }
    text = '{"head":"two","items":[{"a/b":"one"},{"a/b":"三"}],"plain":"free"}'
    found = parse(text, schema, "😀 one two 三")
    assert found.offsets == {"/head": (6, 9), "/items/0/a~1b": (2, 5), "/items/1/a~1b": (10, 11)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"Smi"', "not a part of the source"),
        ('"Anna"', "not a part of the source"),
        ('""', "not a part of the source"),
        ("Smith", "not JSON: expecting value at character 0"),
        ('"Smith', "not JSON"),
        ("", "not JSON"),
        ("7", "`type`"),
        ("NaN", "cannot be represented"),
        ("1e999", "cannot be represented"),
        ("9" * 5000, "cannot be represented"),
        ("[" * 100_000, "cannot be represented"),
    ],
)
def test_an_answer_that_is_wrong_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(OutputParseError, match="OAG313") as caught:
        parse(text, WORDS, "Call Smith now")
    assert said in str(caught.value)
    assert caught.value.fix


def test_a_value_of_a_branch_that_does_not_apply_gets_no_place() -> None:
    schema: dict[str, object] = {"anyOf": [{"const": "kg"}, WORDS]}
    assert parse('"kg"', schema, "5 pounds").offsets == {}
    assert parse('"pounds"', schema, "5 pounds").offsets == {"": (2, 8)}


def test_branches_with_and_without_copies_are_all_open(accepts: Accepts) -> None:
    kind = {"type": "object", "required": ["k", "v"]}
    schema: dict[str, object] = {
        "anyOf": [
            {**kind, "properties": {"k": {"const": "x"}, "v": WORDS}},
            {**kind, "properties": {"k": {"const": "y"}, "v": {"type": "string"}}},
        ]
    }
    grammar = compile_schema(schema, "hi ho")
    assert accepts(grammar, '{"k":"x","v":"ho"}')
    assert accepts(grammar, '{"k":"y","v":"anything"}')
    assert not accepts(grammar, '{"k":"x","v":"anything"}')


def test_what_a_schema_alone_decides_is_checked_once_however_many_sources_there_are() -> None:
    schema = {"type": "array", "items": WORDS, "maxItems": 7}
    compile_schema(schema, "the first source")
    checks = (extractive._first_rule, grammar_of._try_copies, grammar_of._try_leaves)
    before = [check.cache_info().misses for check in checks]
    texts = [compile_schema(schema, f"source {number}").text for number in range(5)]
    assert [check.cache_info().misses for check in checks] == before
    assert len(set(texts)) == 5
    with pytest.raises(SchemaError, match="needs a text to copy from"):
        compile_schema(schema)
