"""Jobs whose driver was killed, and whether somebody is to go on with them unasked.

Owns `may_be_revived`. Knows nothing of schedules and of how a driver is started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from openautoglm.jobs.charge import is_left

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import State

REVIVED: Final = "job.revived"
LOOKED_AT: Final = 1000
"""Events, from the last one back."""

IN_VAIN: Final = 3
"""So often in a row a job is gone on with though no row was done since."""

UNDER_WAY: Final[frozenset[State]] = frozenset({"planned", "running"})


def may_be_revived(ledger: Ledger, job: str) -> bool:
    """Whether a job is to run, nobody runs it, and it is of use to go on; that is noted then.

    A job whose drivers die again and again, with no row done between, is paused instead.
    """
    if ledger.job(job).state not in UNDER_WAY or not is_left(ledger, job):
        return False
    done = ledger.counts(job).done
    if _before(ledger, job) == [done] * IN_VAIN:
        reason = f"its process was killed {IN_VAIN + 1} times, and no row was done between"
        ledger.set_state(job, "paused", reason=reason, among=UNDER_WAY)
        return False
    ledger.note(REVIVED, job, {"done": done})
    return True


def _before(ledger: Ledger, job: str) -> list[int]:
    """Return how many rows were done when the job was gone on with, the last times."""
    events = [event for event in ledger.events(job, limit=LOOKED_AT) if event.kind == REVIVED]
    return [msgspec.json.decode(event.data, type=dict[str, int])["done"] for event in events][
        :IN_VAIN
    ]
