"""What flows between steps survives a wire."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine.asking import formed
from openautoglm.engine.backend import LoadSpec, ModelInfo, Request
from openautoglm.engine.generation import Generation, Timings, TokenLogprob
from openautoglm.engine.prompt import Message
from openautoglm.engine.sampling import SamplingParams
from openautoglm.engine.wire import (
    generation_from,
    info_from,
    plain_generation,
    plain_info,
    plain_request,
    plain_spec,
    request_from,
    spec_from,
)
from openautoglm.errors import InvalidPromptError
from openautoglm.pipeline.text.chunks import Segment
from openautoglm.pipeline.wire import TAG, from_wire, to_wire
from openautoglm.testing.remote import carried

GENERATIONS = st.builds(
    Generation,
    text=st.text(),
    finish_reason=st.sampled_from(["stop", "length", "cancelled"]),
    prompt_tokens=st.integers(0, 9),
    timings=st.builds(Timings, total_s=st.floats(0, 9), first_token_s=st.none() | st.floats(0, 9)),
    parsed=st.none() | st.dictionaries(st.text(), st.integers(-9, 9)),
    offsets=st.dictionaries(st.text(), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    model=st.text(),
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
KEYS = st.text() | st.just(TAG)
VALUES = st.recursive(
    SCALARS | GENERATIONS | st.builds(Segment, st.text(), st.integers(0, 9), st.integers(0, 9)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(value=VALUES)
def test_values_come_back_as_they_were(value: object) -> None:
    assert from_wire(carried(to_wire(value))) == value


def test_iterators_and_tuples_come_back_as_lists() -> None:
    assert from_wire(to_wire({"a": iter((1, 2)), "b": (3,)})) == {"a": [1, 2], "b": [3]}


@given(generation=GENERATIONS)
def test_a_generation_comes_back_equal(generation: Generation) -> None:
    again: Any = carried(plain_generation(generation))
    assert generation_from(again) == generation


def test_other_answers_and_logprobs_come_back_equal() -> None:
    top = (("a", -0.5), ("b", -1.0))
    scored = (TokenLogprob(token="a", logprob=-0.5, top=top),)  # noqa: S106 - a token of text
    other = Generation(text="b", finish_reason="length")
    generation = Generation(text="a", finish_reason="stop", logprobs=scored, others=(other,))
    plain: Any = carried(plain_generation(generation))
    assert generation_from(plain) == generation


def test_the_error_of_a_generation_keeps_its_class_and_its_words() -> None:
    error = InvalidPromptError("the prompt is empty", got="''", fix="ask something")
    plain: Any = carried(plain_generation(Generation(text="", finish_reason="error", error=error)))
    again = generation_from(plain).error
    assert type(again) is InvalidPromptError
    assert str(again) == str(error)


def test_a_request_comes_back_with_its_schema_compiled() -> None:
    bare = Request(
        prompt=(Message("system", "s"), Message("user", "u")),
        params=SamplingParams(max_length=3, stop=("a", "b"), seed=1, logit_bias={4: 1.5}),
        source="text",
    )
    request = formed(bare, {"schema": {"type": "integer"}})
    plain: Any = carried(plain_request(request))
    again = request_from(plain)
    assert (again.prompt, again.params, again.source) == (bare.prompt, bare.params, bare.source)
    assert again.schema == {"type": "integer"}
    assert again.grammar is not None
    assert request_from(plain_request(Request(prompt="text"))).grammar is None


def test_what_to_load_and_what_was_loaded_come_back_equal() -> None:
    spec = LoadSpec(model="m", device="cpu", options={"batch_size": 4})
    plain: Any = carried(plain_spec(spec))
    assert spec_from(plain) == spec
    info = ModelInfo(backend="b", model="m", context_length=5, sampling=("seed", "n"))
    said: Any = carried(plain_info(info))
    assert info_from(said) == info
