"""What an assault on a job found: `ChaosReport`. Knows nothing of how it was made."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotation
from typing import final

import msgspec


@final
class ChaosReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one assault.

    Attributes:
        job: its id.
        state: of the job at the end.
        rows: of the source.
        answered: distinct rows in the sink.
        quarantined: rows that failed, with a reason.
        lost: rows that are in neither.
        doubled: rows that are in the sink twice, or in both.
        faults: by kind, how many processes were hit.
        calls: rows that work was begun on, again and again counted; None where nobody counted.
        repeated: calls beyond one for each row.
        under_way: rows that one process works on at a time; so many a kill may repeat.
        kept: the least part of answered rows that was still there after a kill; 1 where all were.
        seconds: from the start to the end of the job.
        seed: makes the same choice of faults again.
    """

    job: str
    state: str
    rows: int
    answered: int
    quarantined: int
    lost: int
    doubled: int
    faults: Mapping[str, int]
    calls: int | None
    repeated: int | None
    under_way: int
    kept: float
    seconds: float
    seed: int

    @property
    def hits(self) -> int:
        """Processes that were killed or stopped."""
        return sum(self.faults.values())

    @property
    def is_exact(self) -> bool:
        """Whether the job ended and every row is in one place, once."""
        return self.state == "done" and not self.lost and not self.doubled
