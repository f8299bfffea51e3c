"""The step `text.segment` counts with the context it is lent."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from openautoglm import Pipeline
from openautoglm.pipeline.context import RunContext
from openautoglm.pipeline.spec import Socket
from openautoglm.pipeline.steps.segment import Segment, SegmentText


class Counting(RunContext):
    def count_tokens(self, text: str) -> int:
        counted.append(text)
        return len(text)


counted: list[str] = []


def test_segments_have_their_places_and_are_made_as_they_are_read() -> None:
    counted.clear()
    step = msgspec.convert({"max_tokens": 4}, SegmentText)
    segments = step.run(text="一二。三四。五六。", context=Counting())["segments"]
    assert isinstance(segments, Iterator)
    assert counted == []
    assert next(segments) == Segment("一二。", 0, 3)
    assert "五六。" not in counted
    assert list(segments) == [Segment("三四。", 3, 6), Segment("五六。", 6, 9)]


@pytest.mark.parametrize("task", ["extract", "classify", "summarize"])
def test_the_tasks_read_segments_once_so_that_no_list_is_made_of_them(task: str) -> None:
    pipeline = Pipeline.load(task)
    assert Socket("segment", "segments") in pipeline._plan.streamed


def test_an_impossible_budget_is_refused_when_it_is_read() -> None:
    with pytest.raises(msgspec.ValidationError, match="overlap_tokens"):
        msgspec.convert({"max_tokens": 4, "overlap_tokens": 4}, SegmentText)


def test_a_segment_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Segment("a", 0, 1).text = "b"  # type: ignore[misc]  # what the test is about
