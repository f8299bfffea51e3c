"""What goes into a pipeline and what comes out: `Record` and `PipelineResult`.

Knows nothing of graphs or execution.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.errors import OpenAutoGLMError


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing to work on.

    Attributes:
        inputs: a value for each input of the pipeline.
        source: what it is called in messages and in its result, e.g. a file name.
        error: why it could not be read; then no step sees it, and it is its result's.
    """

    inputs: Mapping[str, object]
    source: str = ""
    error: OpenAutoGLMError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """What a pipeline made of one record.

    Attributes:
        outputs: the pipeline's outputs by name; one whose branch was not taken is left out.
        timings_s: seconds spent in each component that ran; the time of a call for several
            records is shared equally between them.
        source: name of the record.
        index: its position in the stream, from 0.
        offsets: JSON pointer of each copied value to its (start, end) in characters of `text`.
        text: the text that `offsets` count in; None when the pipeline declares no offsets.
        text_from: the output that `text` came from, e.g. `clean.text`.
        error: why there are no outputs, or None.

    Example:
        >>> PipelineResult(outputs={"result": "ok"}, source="a.txt").outputs["result"]
        'ok'
    """

    outputs: Mapping[str, object]
    timings_s: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    index: int = 0
    offsets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    text: str | None = None
    text_from: str | None = None
    error: OpenAutoGLMError | None = None
