"""How far a job is, for people and machines: `Progress`. Knows nothing of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import msgspec

from openautoglm.jobs.ledger.records import Counts, State  # noqa: TC001 - msgspec reads them

if TYPE_CHECKING:
    from collections.abc import Mapping


@final
class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A job at one moment; counts are exact, what is to come is an estimate.

    Attributes:
        job: its id.
        name: for people.
        state: of the job.
        reason: why it is in that state; empty where that goes without saying.
        counts: of shards, rows and tokens.
        rows_per_s: over the last half minute; None where nothing ran.
        tokens_per_s: likewise.
        eta_s: seconds that are left at that pace; None where rows or pace are not known.
    """

    job: str
    name: str
    state: State
    reason: str
    counts: Counts
    rows_per_s: float | None = None
    tokens_per_s: float | None = None
    eta_s: float | None = None

    def to_dict(self) -> Mapping[str, object]:
        """Return what JSON holds."""
        plain: Mapping[str, object] = msgspec.to_builtins(self)
        return plain
