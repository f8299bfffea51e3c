"""Jobs whose driver was killed, and whether somebody is to go on with them unasked.

Owns `may_be_revived`. Knows nothing of schedules and of how a driver is started.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.jobs.charge import is_left
from openautoglm.jobs.notes import Notes

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import State

REVIVED: Final = "job.revived"
LOOKED_AT: Final = 1000
"""Events, from the last one back."""

IN_VAIN: Final = 3
"""So often in a row a job is gone on with though no row was done since."""

UNDER_WAY: Final[frozenset[State]] = frozenset({"planned", "running"})


@final
class Revival(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody goes on with a job.

    Attributes:
        done: rows that were done by then.
        owner: the driver that was killed; empty where none had come to begin.
        by: the process that goes on.
    """

    done: int
    owner: str = ""
    by: str = ""


def may_be_revived(ledger: Ledger, job: str) -> bool:
    """Whether a job is to run, nobody runs it, and it is of use to go on; that is noted then.

    A job whose drivers die again and again, with no row done between, is paused instead. Several
    processes may be told of the same driver that they may go on; it died once all the same, and one
    of theirs gets to drive.
    """
    last = Notes(ledger, job).driver()  # before it is asked whether that one is gone
    if ledger.job(job).state not in UNDER_WAY or not is_left(ledger, job):
        return False
    seen = Revival(
        done=ledger.counts(job).done,
        owner="" if last is None else last.owner,
        by=f"{socket.gethostname()} {os.getpid()}",
    )
    if _in_vain(ledger, job, seen) >= IN_VAIN:
        reason = f"its process was killed {IN_VAIN + 1} times, and no row was done between"
        ledger.set_state(job, "paused", reason=reason, among=UNDER_WAY)
        return False
    ledger.note(REVIVED, job, msgspec.to_builtins(seen))
    return True


def _in_vain(ledger: Ledger, job: str, now: Revival) -> int:
    """Return how many ends came before this one since a row was done.

    One process that goes on twice behind the same driver has seen two: its own came to nothing.
    """
    ends: dict[str, Counter[str]] = {}
    for event in ledger.events(job, limit=LOOKED_AT):
        if event.kind == REVIVED:
            then = msgspec.json.decode(event.data, type=Revival)
            if then.done != now.done:
                break
            ends.setdefault(then.owner, Counter())[then.by] += 1
    own = ends.pop(now.owner, Counter())[now.by]
    return own + sum(max(times.values()) for times in ends.values())
