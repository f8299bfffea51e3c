"""What an assault on a job found: `ChaosReport`. Knows nothing of how it was made."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotation
from typing import final

import msgspec


@final
class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A row in quarantine.

    Attributes:
        key: its id, or the source's name of it.
        error: why, as JSON.
    """

    key: str
    error: str


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
        refused: the rows in quarantine, a hundred at most.
        faults: by kind, how many were met; 0 for those that nobody met.
        unmet: by kind, how many were made and nobody met them; they say nothing.
        skipped: kinds that this job cannot meet, with the reason.
        server_answers: by kind, how many wrong answers of a model server the job got.
        resumed: how often the job paused or failed under a fault, and was gone on with.
        calls: rows that work was begun on, again and again counted.
        repeated: calls beyond one for each row, but those that raised: their rows are tried again.
        allowed: how many may be, for what was under way and not yet in the ledger at each fault.
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
    refused: tuple[Refused, ...]
    faults: Mapping[str, int]
    unmet: Mapping[str, int]
    skipped: Mapping[str, str]
    server_answers: Mapping[str, int]
    resumed: int
    calls: int
    repeated: int
    allowed: int
    kept: float
    seconds: float
    seed: int

    @property
    def hits(self) -> int:
        """Faults that somebody met."""
        return sum(self.faults.values())

    @property
    def is_exact(self) -> bool:
        """Whether the job ended and every row is in one place, once."""
        return self.state == "done" and not self.lost and not self.doubled

    @property
    def is_good(self) -> bool:
        """Whether it is exact, and no more calls were repeated than may be."""
        return self.is_exact and self.repeated <= self.allowed
