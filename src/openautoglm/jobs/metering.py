"""How fast a job goes and when it will be done, from its counts as they come.

Owns `Meter`. Pure: time comes in as an argument. Knows nothing of where counts come from.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, final

from openautoglm.jobs.progress import Progress

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import Counts, JobRecord

WINDOW_S: Final = 30.0
LEAST_S: Final = 0.2
"""A pace is not told from less than this."""


class _Sample(NamedTuple):
    at_s: float
    rows: int
    tokens: int


@final
class Meter:
    """The pace of one job over the last half minute."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def progress(self, record: JobRecord, counts: Counts, *, now_s: float) -> Progress:
        """Take in counts and return how far the job is.

        Args:
            record: of the job.
            counts: of it, now.
            now_s: of a monotonic clock.
        """
        if record.state != "running":
            self._samples.clear()
            return _progress(record, counts)
        self._samples.append(_Sample(now_s, counts.done, counts.tokens))
        while len(self._samples) > 2 and self._samples[1].at_s <= now_s - WINDOW_S:  # noqa: PLR2004 - a window has two ends
            self._samples.popleft()
        first = self._samples[0]
        seconds = now_s - first.at_s
        if seconds < LEAST_S:
            return _progress(record, counts)
        rows_per_s = max(0.0, (counts.done - first.rows) / seconds)
        tokens_per_s = max(0.0, (counts.tokens - first.tokens) / seconds)
        eta_s = None
        if record.is_planned and counts.rows is not None and rows_per_s > 0:
            eta_s = max(0, counts.rows - counts.done) / rows_per_s
        return _progress(record, counts, rows_per_s, tokens_per_s, eta_s)


def _progress(
    record: JobRecord,
    counts: Counts,
    rows_per_s: float | None = None,
    tokens_per_s: float | None = None,
    eta_s: float | None = None,
) -> Progress:
    return Progress(
        job=record.id,
        name=record.name,
        state=record.state,
        reason=record.reason,
        counts=counts,
        rows_per_s=rows_per_s,
        tokens_per_s=tokens_per_s,
        eta_s=eta_s,
    )
