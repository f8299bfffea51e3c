from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm import AutoGLM
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import InvalidParameterError

WRONG = [
    {"max_length": 0},
    {"max_length": -1},
    {"max_length": True},
    {"max_length": 1.5},
    {"max_length": "8"},
    {"temperature": -0.1},
    {"temperature": math.nan},
    {"temperature": math.inf},
    {"temperature": 10**400},
    {"temperature": True},
    {"temperature": "hot"},
    {"top_p": 0},
    {"top_p": 1.01},
    {"top_p": math.nan},
    {"top_k": -1},
    {"top_k": 2.0},
    {"seed": -1},
    {"seed": 2**63},
    {"seed": 1.0},
    {"stop": ""},
    {"stop": ["a", ""]},
    {"stop": [1]},
    {"stop": 7},
    {"stop": ["a"] * 129},
    {"min_p": -0.1},
    {"min_p": 1.1},
    {"min_p": "low"},
    {"repetition_penalty": 0},
    {"repetition_penalty": -1.0},
    {"repetition_penalty": 1e-300},
    {"repetition_penalty": 1e300},
    {"temperature": 1e-300},
    {"temperature": 1e300},
    {"temperature": 10**400},
    {"repetition_penalty": math.inf},
    {"presence_penalty": 2.1},
    {"presence_penalty": math.nan},
    {"frequency_penalty": -2.1},
    {"frequency_penalty": True},
    {"logit_bias": 7},
    {"logit_bias": "5"},
    {"logit_bias": {"a": 1}},
    {"logit_bias": {-1: 1}},
    {"logit_bias": {2**31: 1}},
    {"logit_bias": {True: 1}},
    {"logit_bias": {1: 101}},
    {"logit_bias": {1: math.nan}},
    {"logit_bias": {1: "much"}},
    {"min_tokens": -1},
    {"min_tokens": 1.0},
    {"min_tokens": 513},
    {"n": 0},
    {"n": 129},
    {"n": True},
    {"logprobs": -1},
    {"logprobs": 21},
    {"logprobs": 1.5},
    {"max_length": np.float64(8)},
    {"top_k": np.float32(2)},
    {"top_k": np.int8(-1)},
    {"n": np.bool_(1)},
    {"temperature": np.bool_(0)},
    {"temperature": np.float32("nan")},
    {"logit_bias": {np.bool_(1): 1}},
    {"logit_bias": {1: np.bool_(1)}},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_a_value_that_cannot_be_is_refused_with_its_name_and_a_fix(
    changes: dict[str, object],
) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        SamplingParams().override(changes)
    (name,) = changes
    assert f"`{name}`" in caught.value.problem
    assert caught.value.fix


def test_the_fix_of_a_bias_shows_a_bias() -> None:
    for bias in ("much", math.nan, 101):
        with pytest.raises(InvalidParameterError) as caught:
            SamplingParams().override({"logit_bias": {1: bias}})
        assert "logit_bias={42: -5}" in str(caught.value.fix)


@pytest.mark.parametrize("temperature", [1e-30, 1e30])
@pytest.mark.parametrize("penalty", [1e-6, 1e6])
def test_the_outermost_values_decode(temperature: float, penalty: float) -> None:
    with AutoGLM(backend="nano", max_length=8, seed=1) as engine:
        answer = engine.run("Hello", temperature=temperature, repetition_penalty=penalty)
    assert answer.completion_tokens


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int16])
def test_whole_numbers_of_numpy_are_taken_as_pythons_own(kind: type[np.integer[Any]]) -> None:
    names = ("max_length", "top_k", "seed", "min_tokens", "n", "logprobs")
    params = SamplingParams().override({name: kind(5) for name in names})
    assert params == SamplingParams().override(dict.fromkeys(names, 5))
    assert {type(getattr(params, name)) for name in names} == {int}


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble, np.int64])
def test_numbers_of_numpy_are_taken_as_pythons_own(kind: type[np.number[Any]]) -> None:
    names = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty")
    params = SamplingParams().override({name: kind(1) for name in names})
    assert params == SamplingParams().override(dict.fromkeys(names, 1.0))
    assert {type(getattr(params, name)) for name in names} <= {int, float}


def test_a_bias_of_numpys_numbers_is_taken_as_pythons_own() -> None:
    bias = {np.int64(4): np.float32(0.5)}
    pairs = SamplingParams().override({"logit_bias": bias}).bias_pairs
    assert [(type(token), type(bias)) for token, bias in pairs] == [(int, float)]
    assert pairs == ((4, 0.5),)


def test_one_stop_string_is_a_list_of_one() -> None:
    assert SamplingParams(stop="###").stop == ("###",)


def test_an_override_of_none_keeps_the_value() -> None:
    params = SamplingParams(max_length=9, seed=3)
    assert params.override({"max_length": None, "seed": None, "top_k": 4}) == SamplingParams(
        max_length=9, seed=3, top_k=4
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_tokens", "max_length"),
        ("max_new_tokens", "max_length"),
        ("temperatur", "temperature"),
        ("stop_strings", "stop"),
        ("topp", "top_p"),
    ],
)
def test_an_unknown_name_says_which_one_was_meant(name: str, meant: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        SamplingParams().override({name: 1})
    assert caught.value.fix == f"did you mean `{meant}`?"


@given(
    st.dictionaries(
        st.sampled_from(["max_length", "temperature", "top_p", "top_k", "seed", "stop"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_whatever_is_passed_is_taken_or_refused_and_nothing_else(
    changes: dict[str, object],
) -> None:
    try:
        params = SamplingParams().override(changes)
    except InvalidParameterError:
        return
    assert params.max_length >= 1
    assert 0 <= params.temperature < math.inf
    assert 0 < params.top_p <= 1
    assert params.top_k >= 0
    assert all(params.stop)


def test_a_bias_is_kept_as_pairs_so_that_parameters_can_be_compared_and_hashed() -> None:
    params = SamplingParams(logit_bias={9: 1, 2: -3})
    assert params.logit_bias == ((2, -3.0), (9, 1.0))
    assert hash(params) == hash(SamplingParams(logit_bias=((9, 1.0), (2, -3))))
    assert SamplingParams().override({"logit_bias": {"4": 2}}).logit_bias == ((4, 2.0),)


def test_what_is_asked_for_beyond_the_basics_is_named() -> None:
    assert SamplingParams(temperature=1, top_k=3, seed=4, stop="x").beyond_basic == ()
    params = SamplingParams(min_p=0.1, n=2, logprobs=0, logit_bias={1: 1})
    assert params.beyond_basic == ("min_p", "logit_bias", "n", "logprobs")
