"""The step `text.segment`. Owns its parameters; the splitting is in `pipeline.text.chunks`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, ClassVar, final

from openautoglm.pipeline.step import Step
from openautoglm.pipeline.text.chunks import Segment, check_budget, iter_segments

if TYPE_CHECKING:
    from openautoglm.pipeline.step import StepContext

__all__ = ["Segment", "SegmentText"]


@final
class SegmentText(Step, frozen=True):
    """Split a text into segments of whole sentences, each within a budget of tokens.

    Attributes:
        max_tokens: most tokens of a segment, counted with the pipeline's model.
        overlap_tokens: most tokens that a segment repeats from the end of the one before.

    Raises:
        InvalidParameterError: the overlap is not below `max_tokens`.
    """

    max_tokens: int = 1024
    overlap_tokens: int = 0
    outputs: ClassVar[Mapping[str, str]] = {
        "segments": "the segments in order; without overlap they concatenate to the text"
    }

    def __post_init__(self) -> None:
        check_budget(self.max_tokens, self.overlap_tokens)

    def run(self, *, text: str, context: StepContext) -> Mapping[str, object]:
        """Return the segments, made as they are read; read again they are none."""
        segments = iter_segments(
            text,
            context.count_tokens,
            max_tokens=self.max_tokens,
            overlap_tokens=self.overlap_tokens,
        )
        return {"segments": segments}
