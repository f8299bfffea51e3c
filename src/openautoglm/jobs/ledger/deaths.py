"""Who of a job was killed or lost, and what it had then: the evidence for and against its rows.

Owns the table `oag_death`: an entry for each shard that a worker had, one for a driver. Each
function is within one transaction. Judges nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.jobs.ledger.records import Evidence, Met

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.database import Session

NO_SHARD: Final = -1
"""In the place of a shard's index, for a driver."""

ELSEWHERE: Final = -1
"""In the place of an ordinal: the only row under way was of another shard."""

_ENTRY: Final = ("job", "owner", "idx", "attempt", "handed", "alone")
_HAD: Final = """select job, idx, attempt, handed, suspect from oag_shard
where owner = :owner and is_done = 0"""
_ALL: Final = """select idx, owner, handed, alone from oag_death
where job = :job order by attempt"""
_TRIES: Final = "select sum(alone), sum(cleared) from oag_shard where job = :job"
_FORGET: Final = """delete from oag_death where job = :job and owner in
(select owner from oag_death where job = :job and idx = :idx)"""


def note_worker(session: Session, owner: str) -> None:
    """Note that a worker was killed or lost, with all shards it has; before they are freed."""
    had = session.rows(_HAD, {"owner": owner})
    others = None if all(row is None for *_, row in had) else ELSEWHERE
    entries = [
        (job, owner, index, attempt, handed, others if alone is None else alone)
        for job, index, attempt, handed, alone in had
    ]
    if entries:
        session.insert("oag_death", _ENTRY, entries)


def note_driver(session: Session, job: str, owner: str) -> None:
    """Note that a driver ended without giving its job back."""
    session.insert("oag_death", _ENTRY, [(job, owner, NO_SHARD, 0, 0, None)])


def forget(session: Session, job: str, index: int) -> None:
    """Forget the workers that had a shard: its rows are to be tried anew."""
    session.change(_FORGET, {"job": job, "idx": index})


def evidence(session: Session, job: str, index: int) -> Evidence:
    """Return what is known of a job's deaths, as it bears on one shard."""
    found = sorted(session.rows(_ALL, {"job": job}), key=lambda row: (row[0], row[1]))
    alone = [(at, row) for at, _, _, row in found if row is not None and row != ELSEWHERE]
    ((tries, cleared),) = session.rows(_TRIES, {"job": job})
    return Evidence(
        killed=len({owner for _, owner, _, _ in found}),
        here=tuple(Met(owner, handed, row) for at, owner, handed, row in found if at == index),
        tries=int(tries or 0),
        hits=len(alone),
        rows_hit=len(set(alone)),
        cleared=int(cleared or 0),
    )
