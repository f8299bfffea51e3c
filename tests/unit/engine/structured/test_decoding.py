"""What is decoded under a grammar follows the schema and ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from openautoglm.engine.structured import Grammar, TokenizerView, compile_schema
from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAMES = list(json.loads(Path(__file__).with_name("schemas.json").read_text(encoding="utf-8")))
# jsonschema divides floats in binary and reads \D and \W as Unicode; we follow decimal and ECMA-262
READ_OTHERWISE = {"invoice", "root number", "pattern classes"}
FREE_STEPS = 120
STEP_BOUND = 1500
CLOSERS = ('"', "}", "]", ",", ":")

Decode = Callable[[Grammar, int], str]
TokenOf = Callable[[str], int]


@pytest.fixture(scope="module")
def decode(tokenizer: Tokenizer, view: TokenizerView, eos: int, token_of: TokenOf) -> Decode:
    """Draw allowed tokens at random; after a while take the end, else what closes, first."""
    import numpy as np

    closers = [token_of(mark) for mark in CLOSERS]

    def run(grammar: Grammar, seed: int) -> str:
        drawn = np.random.default_rng(seed)
        constraint = grammar.constraint(view)
        tokens: list[int] = []
        for step in range(STEP_BOUND):
            mask = constraint.mask()
            assert mask.any()
            assert mask.shape == (300,)
            assert bool(mask[eos]) == constraint.is_complete
            late = [t for t in (eos, *closers) if mask[t]] if step > FREE_STEPS else []
            token = late[0] if late else int(drawn.choice(np.flatnonzero(mask)))
            if token == eos:
                return str(tokenizer.decode(tokens, skip_special_tokens=False))
            constraint.accept(token)
            tokens.append(token)
        raise AssertionError(f"no end: {tokenizer.decode(tokens)}")

    return run


@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_model_says_the_output_ends_parses_and_follows_the_schema(
    name: str, schemas: dict[str, dict[str, object]], source: str, decode: Decode
) -> None:
    grammar = compile_schema(schemas[name], source)
    for seed in range(8):
        text = decode(grammar, seed)
        parsed = grammar.parse(text)
        if name not in READ_OTHERWISE:
            jsonschema.validate(json.loads(text), schemas[name])
        assert all(source[a:b] for a, b in parsed.offsets.values())


def test_the_end_is_allowed_exactly_when_the_json_is_whole(
    token_of: TokenOf, view: TokenizerView, eos: int
) -> None:
    constraint = compile_schema({"type": "integer"}).constraint(view)
    assert not constraint.mask()[eos]
    constraint.accept(token_of("7"))
    assert constraint.mask()[eos]
    assert not constraint.is_done
    constraint.accept(eos)
    assert constraint.is_done


def test_a_token_that_is_not_allowed_is_refused_and_changes_nothing(
    token_of: TokenOf, view: TokenizerView
) -> None:
    constraint = compile_schema({"const": "ab"}).constraint(view)
    before = constraint.mask()
    for token in (token_of("x"), 299, 10_000, -1):
        with pytest.raises(InvalidParameterError, match="OAG310"):
            constraint.accept(token)
    assert (constraint.mask() == before).all()
    constraint.accept(token_of('"'))


def test_logits_beyond_the_tokenizer_are_never_allowed(view: TokenizerView) -> None:
    mask = compile_schema({"type": "string", "maxLength": 5}).constraint(view).mask()
    assert mask.shape == (300,)
    assert not mask[270:].any()


def test_logits_narrower_than_the_tokenizer_get_a_mask_of_their_width(
    tokenizer: Tokenizer, eos: int
) -> None:
    narrow = TokenizerView(tokenizer, vocabulary_size=260, eos_token_ids=[eos])
    assert compile_schema({"type": "boolean"}).constraint(narrow).mask().shape == (260,)


def test_two_sequences_of_one_grammar_do_not_disturb_each_other(
    token_of: TokenOf, view: TokenizerView
) -> None:
    grammar = compile_schema({"enum": ["a", "b"]})
    one, two = grammar.constraint(view), grammar.constraint(view)
    one.accept(token_of('"'))
    assert one.mask()[token_of("a")]
    assert not two.mask()[token_of("a")]


@pytest.mark.parametrize("text", ['{ "a":1}', '{"a": 1}', '{"a":1} ', ' {"a":1}', '{"a":1}\n'])
def test_only_compact_json_is_written(accepts: Callable[[Grammar, str], bool], text: str) -> None:
    grammar = compile_schema({"type": "object", "properties": {"a": {"const": 1}}})
    assert accepts(grammar, '{"a":1}')
    assert not accepts(grammar, text)


def test_an_object_that_names_properties_gets_no_others(
    accepts: Callable[[Grammar, str], bool],
) -> None:
    schema: dict[str, object] = {"type": "object", "properties": {"a": {"const": 1}}}
    assert not accepts(compile_schema(schema), '{"b":1}')
    assert accepts(compile_schema({**schema, "additionalProperties": True}), '{"b":1}')


def test_a_key_cannot_be_written_twice_by_escaping_it(
    accepts: Callable[[Grammar, str], bool],
) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"a": {"const": 1}},
        "additionalProperties": True,
    }
    assert not accepts(compile_schema(schema), '{"a":1,"\\u0061":2}')


def test_a_schema_without_constraints_lets_any_value_through(
    accepts: Callable[[Grammar, str], bool],
) -> None:
    grammar = compile_schema({})
    assert accepts(grammar, '{"a":[1,null,{"b":true}],"c":"x"}')
    assert not accepts(grammar, "1e999")


@pytest.mark.parametrize(("day", "is_real"), [("2023-02-29", False), ("2024-02-29", True)])
def test_dates_exist(accepts: Callable[[Grammar, str], bool], day: str, *, is_real: bool) -> None:
    assert accepts(compile_schema({"type": "string", "format": "date"}), f'"{day}"') == is_real
