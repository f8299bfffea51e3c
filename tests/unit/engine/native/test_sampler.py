"""The operator as a sampler: what a row asks for, whatever the rows beside it ask for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.engine.backends.native.scheduling.faces import FAILED
from openautoglm.engine.backends.native.scheduling.sampler import OperatorSampler, ScoredToken
from openautoglm.engine.randomness import uniforms
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import InvalidParameterError

Array = np.ndarray[Any, np.dtype[Any]]
VOCABULARY = 70


@dataclass
class Draw:
    """A row as the scheduler shows it."""

    params: object = field(default_factory=SamplingParams)
    seed: int | None = None
    ids: list[int] = field(default_factory=lambda: [1, 2])
    prompt_tokens: int = 2
    mask: Array | None = None
    banned: frozenset[int] = frozenset()
    notes: object = None


def logits_of(rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, VOCABULARY)).astype("float32")


def only(*tokens: int) -> Array:
    bits = np.zeros(96, np.uint8)
    bits[list(tokens)] = 1
    return np.packbits(bits, bitorder="little").view(np.uint32)


MIXED = [
    Draw(),
    Draw(SamplingParams(temperature=1.0), seed=3),
    Draw(SamplingParams(temperature=0.8, top_k=5, top_p=0.9, min_p=0.01), seed=3),
    Draw(SamplingParams(repetition_penalty=1.5), ids=[1, 2, 5, 5]),
    Draw(SamplingParams(presence_penalty=1, frequency_penalty=0.5), ids=[1, 2, 5, 5]),
    Draw(SamplingParams(logit_bias={9: 100})),
    Draw(mask=only(4, 66)),
    Draw(SamplingParams(logprobs=2)),
]


def test_a_row_gets_the_same_in_company_as_alone() -> None:
    logits = logits_of(len(MIXED))
    together = OperatorSampler().choose(logits, MIXED)
    assert together.logprobs is not None
    for index, draw in enumerate(MIXED):
        draw.notes = None
        alone = OperatorSampler().choose(logits[index : index + 1], [draw])
        assert alone.tokens[0] == together.tokens[index]
        if together.logprobs[index] is not None:
            assert alone.logprobs == [together.logprobs[index]]
    assert together.tokens[0] == logits[0].argmax()
    assert together.tokens[5] == 9
    assert together.tokens[6] in {4, 66}


def test_the_uniform_number_is_that_of_the_seed_and_the_place_in_the_answer() -> None:
    logits = np.zeros((1, VOCABULARY), "float32")
    params = SamplingParams(temperature=1.0)
    wanted = uniforms(9, 0, 0, 5)
    for step in range(5):
        draw = Draw(params, seed=9, ids=[1, 2, *range(step)])
        token = OperatorSampler().choose(logits, [draw]).tokens[0]
        assert token == int(wanted[step] * VOCABULARY)


def test_banned_tokens_do_not_come() -> None:
    logits = logits_of(1)
    best = int(logits[0].argmax())
    token = OperatorSampler().choose(logits, [Draw(banned=frozenset({best}))]).tokens[0]
    assert token == np.argsort(-logits[0])[1]


def test_counts_follow_the_answer_as_it_grows() -> None:
    logits = np.zeros((1, VOCABULARY), "float32")
    logits[0, 5], logits[0, 6] = 1.0, 0.4
    draw = Draw(SamplingParams(frequency_penalty=0.5))
    sampler = OperatorSampler()
    tokens = []
    for _ in range(3):
        tokens.append(int(sampler.choose(logits, [draw]).tokens[0]))
        draw.ids.append(tokens[-1])
    assert tokens == [5, 5, 6]


def test_the_likeliest_tokens_are_named_with_their_logprobs() -> None:
    logits = logits_of(1)
    exact = logits[0] - np.log(np.exp(logits[0].astype("float64")).sum())
    draw = Draw(SamplingParams(logprobs=3))
    (scored,) = OperatorSampler().choose(logits, [draw]).logprobs or ()
    assert isinstance(scored, ScoredToken)
    order = np.argsort(-logits[0])[:3]
    assert [token for token, _ in scored.top] == order.tolist()
    np.testing.assert_allclose([number for _, number in scored.top], exact[order], atol=1e-5)
    assert scored.logprob == pytest.approx(exact[scored.token], abs=1e-5)


def test_a_row_without_numbers_fails_alone() -> None:
    logits = logits_of(2)
    logits[0, 3] = np.nan
    tokens = OperatorSampler().choose(logits, [Draw(), Draw()]).tokens
    assert tokens.tolist() == [FAILED, logits[1].argmax()]


def test_a_bias_for_a_token_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="`logit_bias`"):
        OperatorSampler().choose(logits_of(1), [Draw(SamplingParams(logit_bias={70: 1}))])


def test_an_operator_that_is_replaced_chooses_the_next_token() -> None:
    sampler, logits, found = OperatorSampler(), logits_of(1), ops.get("sample")
    first = sampler.choose(logits, [Draw()]).tokens.tolist()

    def reference(given: Any, *_: object) -> Any:  # noqa: ANN401 - arrays
        return np.full(len(given), 7), np.zeros(len(given), np.float32)

    ops.replace(replace(found.opdef, reference=reference))
    try:
        assert sampler.choose(logits, [Draw()]).tokens.tolist() == [7]
    finally:
        ops.rollback("sample")
    assert sampler.choose(logits, [Draw()]).tokens.tolist() == first != [7]
