"""Rows of a ledger in SQL: what became of each, how many there are, what went wrong.

Each function is within one transaction. A row's first outcome stays, whoever brings another; the
counts of its shard change with it, so that counting a job reads its shards alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from openautoglm.data.sink import Receipt
from openautoglm.data.source import Shard
from openautoglm.errors import JobStateError
from openautoglm.jobs.ledger import deaths, jobs, shards
from openautoglm.jobs.ledger.records import Claim, Counts, Quarantined, RowOutcome, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.jobs.ledger.database import Found, Session, Value

PAGE: Final = 200
"""Rows that are read at a time: each may be a megabyte."""

_KEEP: Final = f"""update oag_shard set lease_boot = :boot, lease_until = {{now}} + :lease_s,
handed = case when handed < :handed then :handed else handed end,
ok = ok + :ok, failed = failed + :failed, tokens = tokens + :tokens where {shards.HELD}
returning num, (select state from oag_job where oag_job.id = :job)"""  # noqa: S608 - ours
_KEPT: Final = ("shard", "ordinal", "is_ok", "key", "tries", "tokens", "payload")
_ASIDE: Final = ("shard", "ordinal", "key", "tries", "error", "content")
_HOLD: Final = f"select 1 from oag_shard where {shards.HELD} {{lock}}"  # noqa: S608 - ours
_NUM: Final = "select num from oag_shard where job = :job and idx = :idx"
_ORDINALS: Final = "select ordinal from oag_row where shard = :num"
_SETTLE: Final = f"""update oag_shard set settled = settled + 1 where {shards.HELD}
returning num"""  # noqa: S608 - ours
_PAGE: Final = """select r.ordinal, r.key, r.is_ok, r.tries, r.tokens, r.payload, q.error, q.content
from oag_row r left join oag_quarantine q on q.shard = r.shard and q.ordinal = r.ordinal
where r.shard = :num and r.ordinal > :after order by r.ordinal limit :top"""
_SPOIL: Final = """update oag_row set is_ok = 0, payload = :nothing
where shard = :num and ordinal = :ordinal and is_ok = 1"""
_MOVE: Final = "update oag_shard set ok = ok - :count, failed = failed + :count where num = :num"
_COUNTS: Final = """select count(*), sum(is_done), sum(1 - is_again),
sum(case when is_again = 0 and row_count is not null then 1 else 0 end),
sum(case when is_again = 0 then row_count else 0 end), sum(ok), sum(failed), sum(tokens)
from oag_shard where job = :job"""
_RECEIPTS: Final = """select idx, receipt from oag_shard
where job = :job and is_done = 1 and receipt is not null order by idx"""
_QUARANTINE: Final = """select s.idx, q.ordinal, q.key, q.error, q.tries, q.content
from oag_shard s join oag_quarantine q on q.shard = s.num
where s.job = :job and s.failed > 0 and s.idx >= :idx and (s.idx > :idx or q.ordinal > :ordinal)
order by s.idx, q.ordinal limit :top"""
_FAILED: Final = """select num, idx, begins, ends, settled + is_done from oag_shard
where job = :job and failed > 0 order by idx {lock}"""
_FAILED_ROWS: Final = "select ordinal from oag_quarantine where shard = :num order by ordinal"
_FORGET: Final = """delete from oag_row where shard = :num
and ordinal in (select ordinal from oag_quarantine where shard = :num)"""
_RELEASE: Final = """update oag_shard set owner = '', lease_until = 0, crashes = 0, suspect = null,
suspects = null where num = :num"""
_UNCOUNT: Final = "update oag_shard set failed = failed - :taken where num = :num"
_EMPTY: Final = "delete from oag_quarantine where shard = :num"
_TOP: Final = "select coalesce(max(idx), -1) from oag_shard where job = :job"


class SomeAreThereError(Exception):
    """Of rows to be kept, some have an outcome already; nothing was kept."""


def journal(
    session: Session, held: Claim, rows: Sequence[RowOutcome], *, handed: int, lease_s: float
) -> State:
    """Keep rows that have no outcome yet; see `Ledger.journal`.

    Raises:
        SomeAreThereError: some have; keep `new_ones` instead.
        FencedError: the claim is lost.
    """
    ok = sum(row.outcome == "ok" for row in rows)
    values: dict[str, Value] = {
        **shards.fence(held),
        "handed": handed,
        "lease_s": lease_s,
        "ok": ok,
        "failed": len(rows) - ok,
        "tokens": sum(row.tokens for row in rows),
    }
    found = session.rows(_KEEP, values)
    if not found:
        shards.refuse(held)
    num, state = found[0]
    if rows:
        _insert(session, num, rows)
    kept: State = state
    return kept


def new_ones(session: Session, held: Claim, rows: Sequence[RowOutcome]) -> list[RowOutcome]:
    """Return the rows that have no outcome, each once; it stays so until the transaction ends."""
    if not session.rows(_HOLD, shards.fence(held)):
        shards.refuse(held)
    there = set(answered(session, held))
    fresh = []
    for row in rows:
        if row.ordinal not in there:
            there.add(row.ordinal)
            fresh.append(row)
    return fresh


def answered(session: Session, held: Claim) -> frozenset[int]:
    """Return the ordinals of rows that have an outcome."""
    found = session.rows(_ORDINALS, {"num": _num(session, held)})
    return frozenset(ordinal for (ordinal,) in found)


def settle(session: Session, held: Claim) -> int:
    """Say that a shard's part is about to be written; return its number.

    Where this is durable, so is the shard's journal. From now on its part may lie in the sink, so
    that `retry` takes no row out of the journal any more.
    """
    found = session.rows(_SETTLE, shards.fence(held))
    if not found:
        shards.refuse(held)
    num: int = found[0][0]
    return num


def set_aside(session: Session, held: Claim, rows: Sequence[RowOutcome]) -> None:
    """Put rows that have an answer into quarantine; see `Ledger.set_aside`."""
    if not session.rows(_HOLD, shards.fence(held)):
        shards.refuse(held)
    num = _num(session, held)
    aside: list[tuple[Value, ...]] = []
    for row in rows:
        if session.change(_SPOIL, {"num": num, "ordinal": row.ordinal, "nothing": b""}):
            key = jobs.storable(row.key)
            aside.append((num, row.ordinal, key, row.tries, row.payload, row.values))
    if aside:
        session.insert("oag_quarantine", _ASIDE, aside)
        session.change(_MOVE, {"num": num, "count": len(aside)})


def page(session: Session, num: int, after: int) -> list[RowOutcome]:
    """Return the next rows of a shard behind an ordinal; none at the end."""
    return [_outcome(row) for row in session.rows(_PAGE, {"num": num, "after": after, "top": PAGE})]


def counts(session: Session, job: str) -> Counts:
    """Return how far a job is."""
    jobs.state_of(session, job)
    ((every, done, first, known, rows, ok, failed, tokens),) = session.rows(_COUNTS, {"job": job})
    return Counts(
        shards=every,
        shards_done=int(done or 0),
        rows=int(rows or 0) if (first or 0) == (known or 0) else None,
        ok=int(ok or 0),
        failed=int(failed or 0),
        tokens=int(tokens or 0),
    )


def receipts(session: Session, job: str) -> list[tuple[int, Receipt]]:
    """Return what was committed, by shard."""
    found = session.rows(_RECEIPTS, {"job": job})
    return [(index, msgspec.json.decode(receipt, type=Receipt)) for index, receipt in found]


def quarantine(session: Session, job: str, after: tuple[int, int]) -> list[Quarantined]:
    """Return the next rows that failed, behind one of a shard and ordinal; none at the end."""
    place: dict[str, Value] = {"idx": after[0], "ordinal": after[1]}
    found = session.rows(_QUARANTINE, {"job": job, **place, "top": PAGE})
    return [
        Quarantined(shard=index, ordinal=at, key=key, error=error, tries=tries, values=values)
        for index, at, key, error, tries, values in found
    ]


def retry(session: Session, job: str) -> int:
    """Plan all rows in quarantine once more; see `Ledger.retry`.

    A shard whose part may lie in the sink already has a new one made of its failed rows; any other
    is taken from whoever works on it, and its failed rows are forgotten.
    """
    jobs.hold(session, job)
    failed = session.rows(_FAILED, {"job": job})
    if any(settled for *_, settled in failed) and not jobs.find(session, job).is_planned:
        raise JobStateError(
            f"job `{job}` is still being planned",
            got="failed rows are tried again in shards behind all others",
            fix="run it until all its shards are known, then try again",
        )
    ((top,),) = session.rows(_TOP, {"job": job})
    planned: dict[int, list[int]] = {}
    again: list[Shard] = []
    taken = 0
    for num, place, start, stop, settled in failed:
        ordinals = [ordinal for (ordinal,) in session.rows(_FAILED_ROWS, {"num": num})]
        if settled:
            index = top + 1 + len(again)
            again.append(Shard(index=index, start=start, stop=stop, rows=len(ordinals)))
            planned[index] = ordinals
        else:
            session.change(_FORGET, {"num": num})
            session.change(_RELEASE, {"num": num})
        session.change(_UNCOUNT, {"num": num, "taken": len(ordinals)})
        session.change(_EMPTY, {"num": num})
        deaths.forget(session, job, place)
        taken += len(ordinals)
    shards.add(session, job, again, only=planned, is_again=True)
    return taken


def _insert(session: Session, num: int, rows: Sequence[RowOutcome]) -> None:
    kept: list[tuple[Value, ...]] = []
    aside: list[tuple[Value, ...]] = []
    for row in rows:
        key = jobs.storable(row.key)
        if row.outcome == "ok":
            kept.append((num, row.ordinal, 1, key, row.tries, row.tokens, row.payload))
        else:
            kept.append((num, row.ordinal, 0, key, row.tries, row.tokens, b""))
            aside.append((num, row.ordinal, key, row.tries, row.payload, row.values))
    if session.insert("oag_row", _KEPT, kept) < len(kept):
        raise SomeAreThereError
    if aside:
        session.insert("oag_quarantine", _ASIDE, aside)


def _num(session: Session, held: Claim) -> int:
    found = session.rows(_NUM, {"job": held.job, "idx": held.shard.index})
    if not found:
        shards.refuse(held)
    num: int = found[0][0]
    return num


def _outcome(row: Found) -> RowOutcome:
    ordinal, key, is_ok, tries, tokens, payload, error, values = row
    return RowOutcome(
        ordinal=ordinal,
        key=key,
        outcome="ok" if is_ok else "failed",
        payload=payload if is_ok else error or b"",
        tries=tries,
        tokens=tokens,
        values=values or b"",
    )
