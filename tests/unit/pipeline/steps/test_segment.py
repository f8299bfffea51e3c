"""The step `text.segment` counts with the context it is lent."""

from __future__ import annotations

import msgspec
import pytest

from openautoglm.pipeline.context import RunContext
from openautoglm.pipeline.steps.segment import Segment, SegmentText


class Counting(RunContext):
    def count_tokens(self, text: str) -> int:
        return len(text)


def test_it_returns_segments_with_their_places() -> None:
    step = msgspec.convert({"max_tokens": 4}, SegmentText)
    assert step.run(text="一二。三四。", context=Counting()) == {
        "segments": [Segment("一二。", 0, 3), Segment("三四。", 3, 6)]
    }


def test_an_impossible_budget_is_refused_when_it_is_read() -> None:
    with pytest.raises(msgspec.ValidationError, match="overlap_tokens"):
        msgspec.convert({"max_tokens": 4, "overlap_tokens": 4}, SegmentText)


def test_a_segment_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Segment("a", 0, 1).text = "b"  # type: ignore[misc]  # what the test is about
