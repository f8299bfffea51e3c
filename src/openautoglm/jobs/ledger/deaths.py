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

PROBE: Final = "probe-"
"""How the owner of a charge is named that takes it only to see whether anybody has it."""

_ENTRY: Final = ("job", "owner", "idx", "attempt", "handed", "alone")
_HAD: Final = """select job, idx, attempt, handed, suspect from oag_shard
where owner = :owner and is_done = 0 order by num"""
_HERE: Final = """select owner, handed, alone from oag_death
where job = :job and idx = :idx order by attempt"""
_KILLED: Final = """select count(distinct owner), count(case when alone >= 0 then 1 end)
from oag_death where job = :job"""
_ROWS_HIT: Final = """select count(*) from
(select distinct idx, alone from oag_death where job = :job and alone >= 0) as hit"""
_TRIES: Final = "select sum(alone), sum(cleared) from oag_shard where job = :job and alone > 0"
_FORGET: Final = """delete from oag_death where job = :job and owner in
(select owner from oag_death where job = :job and idx = :idx)"""
_FORGET_ALL: Final = "delete from oag_death where job = :job"
_FORGET_TRIES: Final = """update oag_shard set alone = 0, cleared = 0
where job = :job and alone > 0"""


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
    """Note that a driver ended without giving its job back; one that only looked drove nothing."""
    if not owner.startswith(PROBE):
        session.insert("oag_death", _ENTRY, [(job, owner, NO_SHARD, 0, 0, None)])


def forget(session: Session, job: str, index: int) -> None:
    """Forget the workers that had a shard: its rows are to be tried anew."""
    session.change(_FORGET, {"job": job, "idx": index})


def forget_all(session: Session, job: str) -> None:
    """Forget all of a job that is done: it is not asked for, or of another time when it is."""
    session.change(_FORGET_ALL, {"job": job})
    session.change(_FORGET_TRIES, {"job": job})


def evidence(session: Session, job: str, index: int) -> Evidence:
    """Return what is known of a job's deaths, as it bears on one shard.

    Counted by the database, since others wait meanwhile; only the shard's own deaths are read.
    """
    here = sorted(session.rows(_HERE, {"job": job, "idx": index}), key=lambda row: str(row[0]))
    ((killed, hits),) = session.rows(_KILLED, {"job": job})
    ((rows_hit,),) = session.rows(_ROWS_HIT, {"job": job})
    ((tries, cleared),) = session.rows(_TRIES, {"job": job})
    return Evidence(
        killed=killed,
        here=tuple(Met(owner, handed, row) for owner, handed, row in here),
        tries=int(tries or 0),
        hits=hits,
        rows_hit=rows_hit,
        cleared=int(cleared or 0),
    )
