from __future__ import annotations

import math

import pytest
import torch

from openautoglm.engine.backends.transformers.penalties import adjust
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import InvalidParameterError

LOGITS = torch.tensor([2.0, -1.0, 0.5, 0.0])


def adjusted(params: SamplingParams, answer: tuple[int, ...] = ()) -> list[float]:
    found = adjust(LOGITS.clone(), params, prompt=(1,), answer=answer, eos=frozenset({3}))
    return [round(value, 5) for value in found.tolist()]


def test_repetition_weighs_on_prompt_and_answer_alike() -> None:
    assert adjusted(SamplingParams(repetition_penalty=2), (0, 0)) == [1.0, -2.0, 0.5, 0.0]


def test_presence_and_frequency_weigh_on_the_answer_alone() -> None:
    params = SamplingParams(presence_penalty=1, frequency_penalty=0.25)
    assert adjusted(params) == LOGITS.tolist()
    assert adjusted(params, (0, 0, 2)) == [0.5, -1.0, -0.75, 0.0]


def test_a_bias_is_added() -> None:
    assert adjusted(SamplingParams(logit_bias={1: 5, 3: -1})) == [2.0, 4.0, 0.5, -1.0]


def test_the_end_is_forbidden_before_so_many_tokens() -> None:
    assert adjusted(SamplingParams(min_tokens=2), (0,))[3] == -math.inf
    assert adjusted(SamplingParams(min_tokens=2), (0, 0))[3] == 0.0


def test_a_bias_for_a_token_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="`logit_bias`"):
        adjusted(SamplingParams(logit_bias={4: 1}))
