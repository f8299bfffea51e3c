"""The step `output.parse`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.engine.generation import Generation
from openautoglm.errors import InvalidParameterError, OutputParseError, SchemaError
from openautoglm.pipeline.steps.parse import Parse
from openautoglm.pipeline.steps.segment import Segment

if TYPE_CHECKING:
    from openautoglm.engine.generation import FinishReason

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
LABELS = ("billing", "Delivery", "其他")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(json_values, st.sampled_from(["{}", " {}\n", "```json\n{}\n```", "```\n{}```"]))
def test_json_is_read_also_from_a_code_fence(value: object, around: str) -> None:
    text = around.replace("{}", json.dumps(value))
    assert Parse().run(generation=text)["value"] == value


def test_the_value_the_engine_parsed_is_taken() -> None:
    answer = Generation(text='{"n": 1}', finish_reason="stop", parsed={"n": 1})
    assert Parse(schema=SCHEMA).run(generation=answer) == {"value": {"n": 1}, "offsets": {}}


@pytest.mark.parametrize(
    ("text", "reason", "problem"),
    [
        ("not json", "stop", "the answer is not JSON"),
        ("", "stop", "the answer is not JSON"),
        ('{"n": 1', "length", "cut at `max_length`"),
        ("[" * 100_000, "stop", "the answer is not JSON"),
        ('{"n": "1"}', "stop", "does not follow the schema at `$.n`"),
        ("{}", "stop", "does not follow the schema at `$`"),
    ],
)
def test_what_is_not_the_json_asked_for_is_refused(
    text: str, reason: FinishReason, problem: str
) -> None:
    with pytest.raises(OutputParseError) as caught:
        Parse(schema=SCHEMA).run(generation=Generation(text=text, finish_reason=reason))
    assert problem in caught.value.problem
    assert caught.value.fix


@pytest.mark.parametrize("text", ["delivery", " Delivery.\n", '"DELIVERY"', "`delivery`。"])
def test_a_label_is_found_however_it_is_written(text: str) -> None:
    assert Parse(kind="label", labels=LABELS).run(generation=text)["value"] == "Delivery"


def test_an_answer_that_is_no_label_is_refused_with_the_labels() -> None:
    with pytest.raises(OutputParseError, match="none of the labels") as caught:
        Parse(kind="label", labels=LABELS).run(generation="biling")
    assert "billing, Delivery, 其他" in str(caught.value.got)
    assert caught.value.fix == "did you mean `billing`?"


def test_a_text_loses_the_space_around_it() -> None:
    assert Parse(kind="text").run(generation="  a b \n")["value"] == "a b"


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(0, 50), st.integers(0, 50))
def test_offsets_are_moved_to_the_whole_text(start: int, a: int, b: int) -> None:
    answer = Generation(text="{}", finish_reason="stop", offsets={"/x": (a, a + b)})
    segment = Segment(text="", start=start, end=start)
    found = Parse().run(generation=answer, source=segment)
    assert found["offsets"] == {"/x": (start + a, start + a + b)}
    assert Parse().run(generation=answer)["offsets"] == {"/x": (a, a + b)}


def test_a_list_of_answers_is_refused_with_the_key_that_maps_over_it() -> None:
    with pytest.raises(OutputParseError) as caught:
        Parse().run(generation=["{}"])  # type: ignore[arg-type] # the refusal is the test
    assert "`each`" in str(caught.value.fix)


def test_parameters_are_checked_when_the_step_is_made() -> None:
    with pytest.raises(InvalidParameterError, match="labels"):
        Parse(kind="label")
    with pytest.raises(InvalidParameterError, match="labels"):
        Parse(kind="text", labels=("a",))
    with pytest.raises(SchemaError):
        Parse(schema={"type": 7})
