"""The step `output.merge`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm import AutoGLM
from openautoglm.errors import InvalidParameterError, OutputParseError
from openautoglm.pipeline.context import RunContext
from openautoglm.pipeline.steps.merge import Merge
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.pipeline.steps.merge import Strategy

NONE = RunContext()
EVERY = [Merge(strategy=s) for s in ("first_non_null", "vote", "join")]
EVERY.append(Merge(strategy="resummarize", template="{text}"))


@pytest.mark.parametrize("step", EVERY, ids=lambda step: step.strategy)
@settings(deadline=None)
@given(value=st.one_of(st.none(), st.text(), st.dictionaries(st.text(), st.integers())))
def test_a_single_value_stays_as_it_is(step: Merge, value: object) -> None:
    found = step.run(values=[value], offsets=[{"/a": (1, 2)}], context=NONE)
    assert found == {"value": value, "offsets": {"/a": (1, 2)}}


def test_first_non_null_goes_field_by_field_and_keeps_the_places() -> None:
    found = Merge().run(
        values=[
            {"a": None, "b": 1, "c": None, "a/b": None},
            {"a": 2, "b": 3, "c": None, "a/b": {"x": 1}},
        ],
        offsets=[{"/b": (0, 1)}, {"/a": (5, 6), "/b": (7, 8), "/a~1b/x": (9, 10)}],
        context=NONE,
    )
    assert found["value"] == {"a": 2, "b": 1, "c": None, "a/b": {"x": 1}}
    assert found["offsets"] == {"/b": (0, 1), "/a": (5, 6), "/a~1b/x": (9, 10)}


@pytest.mark.parametrize(
    ("values", "first"), [([None, 0, 1], 0), ([None, None], None), (["a"] * 2, "a")]
)
def test_first_non_null_of_what_is_no_object_is_the_first(
    values: Sequence[object], first: object
) -> None:
    assert Merge().run(values=values, context=NONE)["value"] == first


@pytest.mark.parametrize(
    ("values", "winner"),
    [
        (["a", "b", "b"], "b"),
        (["b", "a"], "b"),
        ([{"label": "x", "n": 1}, {"label": "y"}, {"n": 1, "label": "x"}], {"label": "x", "n": 1}),
    ],
)
def test_vote_takes_what_most_say_and_of_equals_the_first(
    values: Sequence[object], winner: object
) -> None:
    assert Merge(strategy="vote").run(values=values, context=NONE)["value"] == winner


def test_join_puts_the_separator_between() -> None:
    step = Merge(strategy="join", separator=" / ")
    assert step.run(values=["a", "b"], context=NONE)["value"] == "a / b"


@settings(deadline=None)
@given(
    st.lists(st.text(st.sampled_from("abc"), min_size=1, max_size=9), min_size=2, max_size=40),
    st.integers(1, 30),
)
def test_resummarize_asks_again_until_one_text_is_left(texts: list[str], max_tokens: int) -> None:
    echo = RunContext(given_engine=AutoGLM(backend=EchoBackend()))
    step = Merge(strategy="resummarize", template="{text}", separator=" ", max_tokens=max_tokens)
    assert step.run(values=texts, context=echo)["value"] == " ".join(texts)


def test_resummarize_ends_also_when_summaries_never_get_shorter() -> None:
    echo = RunContext(given_engine=AutoGLM(backend=EchoBackend()))
    step = Merge(strategy="resummarize", template="{text}{text}", max_tokens=1, separator="")
    assert step.run(values=["a", "b", "c"], context=echo)["value"] == "abc" * 2


@pytest.mark.parametrize("strategy", ["join", "resummarize"])
def test_only_texts_can_be_joined(strategy: Strategy) -> None:
    template = "{text}" if strategy == "resummarize" else None
    with pytest.raises(OutputParseError, match="only texts can be joined"):
        Merge(strategy=strategy, template=template).run(values=["a", 1], context=NONE)


@pytest.mark.parametrize("values", ["text", {"a": 1}, 7])
def test_what_is_no_list_is_refused(values: Sequence[object]) -> None:
    with pytest.raises(OutputParseError, match="must be a list"):
        Merge().run(values=values, context=NONE)


def test_no_values_are_refused() -> None:
    with pytest.raises(OutputParseError, match="the text is empty: no segment came of it"):
        Merge().run(values=[], context=NONE)


def test_parameters_are_checked_when_the_step_is_made() -> None:
    with pytest.raises(InvalidParameterError, match="`template` belongs to"):
        Merge(strategy="resummarize")
    with pytest.raises(InvalidParameterError, match="`template` belongs to"):
        Merge(strategy="vote", template="{text}")
    with pytest.raises(InvalidParameterError, match="must have the variable"):
        Merge(strategy="resummarize", template="{texts}")
    with pytest.raises(InvalidParameterError, match="max_tokens"):
        Merge(max_tokens=0)
