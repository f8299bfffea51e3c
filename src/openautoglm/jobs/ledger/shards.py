"""Shards of a ledger in SQL: who has which, until when, and how the attempts at it ended.

Each function is within one transaction. What a worker writes is fenced: it names owner and attempt,
and changes nothing once the shard was given to another, or freed. Knows no row's answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, assert_never, final

import msgspec

from openautoglm.data.source import Shard
from openautoglm.errors import FencedError
from openautoglm.jobs.ledger import deaths, jobs
from openautoglm.jobs.ledger.records import Claim, Ending, Evidence, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.data.sink import Receipt
    from openautoglm.jobs.ledger.database import Found, Session, Value

HELD: Final = "job = :job and idx = :idx and owner = :owner and attempt = :attempt and is_done = 0"
"""That a claim is still one: what every write for it asks."""

_ADDED: Final = ("job", "idx", "begins", "ends", "row_count", "only_rows", "is_again")
_NEXT: Final = """select num, idx, begins, ends, row_count, only_rows, owner, attempt, crashes,
handed, suspect, suspects from oag_shard
where job = :job and is_done = 0 and (owner = '' or lease_boot <> :boot or lease_until <= {now})"""
_SHARE: Final = f"{_NEXT} and idx % :of = :at order by idx limit 1 {{skip}}"
_THIS: Final = f"{_NEXT} and idx = :shard {{skip}}"
_TAKE: Final = """update oag_shard set owner = :owner, attempt = attempt + 1,
lease_boot = :boot, lease_until = {now} + :lease_s,
crashes = :crashes, suspect = null, suspects = :suspects where num = :num"""
_RENEW: Final = f"""update oag_shard
set lease_boot = :boot, lease_until = {{now}} + :lease_s where {HELD}"""  # noqa: S608 - ours
_SUSPECTED: Final = f"select suspect, suspects from oag_shard where {HELD} {{lock}}"  # noqa: S608 - ours
_SUSPECT: Final = f"""update oag_shard set suspect = :ordinal, alone = alone + :alone,
cleared = cleared + :cleared where {HELD}"""  # noqa: S608 - ours
_ABSOLVE: Final = f"update oag_shard set crashes = 0 where {HELD}"  # noqa: S608 - ours
_COMMIT: Final = f"""update oag_shard set is_done = 1, receipt = :receipt, suspect = null,
suspects = null where {HELD} returning num"""  # noqa: S608 - ours
_COMMITTED: Final = """select 1 from oag_shard where job = :job and idx = :idx
and owner = :owner and attempt = :attempt and is_done = 1"""
_OWNED: Final = """select num, crashes, suspect, suspects from oag_shard
where owner = :owner and is_done = 0 order by num {lock}"""
_FREE: Final = """update oag_shard set owner = '', lease_until = 0, crashes = :crashes,
suspect = null, suspects = :suspects where num = :num"""
_CLEAR: Final = "delete from oag_row where shard = :num"


@final
class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """How often a worker died at a row, and how often by itself."""

    deaths: int
    certain: int


def add(
    session: Session,
    job: str,
    shards: Sequence[Shard],
    *,
    only: Mapping[int, Sequence[int]],
    is_again: bool = False,
) -> None:
    """Add shards; those there already stay as they are.

    Args:
        session: the transaction.
        job: of which.
        shards: any number.
        only: by index: the ordinals that are asked for, where that is not all of them.
        is_again: whether their rows were counted before, as others'.
    """
    jobs.state_of(session, job)
    rows: list[tuple[Value, ...]] = []
    for shard in shards:
        asked = only.get(shard.index)
        count = shard.rows if asked is None else len(asked)
        ordinals = None if asked is None else msgspec.json.encode(list(asked))
        place = (shard.index, shard.start, shard.stop)
        rows.append((job, *place, count, ordinals, int(is_again)))
    if rows:
        session.insert("oag_shard", _ADDED, rows)


def claim(
    session: Session,
    job: str,
    owner: str,
    *,
    lease_s: float,
    among: tuple[int, int],
    shard: int | None,
) -> Claim | None:
    """Take the next shard that is free; see `Ledger.claim`."""
    if jobs.state_of(session, job) != "running":
        return None
    at, of = among
    if shard is None:
        found = session.rows(_SHARE, {"job": job, "at": at, "of": of})
    else:
        found = session.rows(_THIS, {"job": job, "shard": shard})
    if not found:
        return None
    return _take(session, job, owner, lease_s, found[0])


def _take(session: Session, job: str, owner: str, lease_s: float, row: Found) -> Claim:
    num, index, start, stop, count, only, holder, attempt, crashes, handed, suspect, kept = row
    suspects = _read(kept)
    if holder:  # nobody knows how that attempt ended
        crashes, suspects = crashes + 1, _blamed(suspects, suspect, "lost")
        deaths.note_worker(session, holder)
    values: dict[str, Value] = {"num": num, "owner": owner, "lease_s": lease_s, "crashes": crashes}
    session.change(_TAKE, {**values, "suspects": _written(suspects)})
    return Claim(
        job=job,
        shard=Shard(index=index, start=start, stop=stop, rows=count),
        only=None if only is None else msgspec.json.decode(only, type=tuple[int, ...]),
        owner=owner,
        attempt=attempt + 1,
        crashes=crashes,
        handed=handed,
        suspects={ordinal: blame.deaths for ordinal, blame in suspects.items()},
        certain=frozenset(ordinal for ordinal, blame in suspects.items() if blame.certain),
        evidence=deaths.evidence(session, job, index) if suspects else Evidence(),
    )


def renew(
    session: Session, claims: Sequence[Claim], *, lease_s: float
) -> tuple[State, list[Claim]]:
    """Prolong leases, in an order in which nobody waits for another's; see `Ledger.renew`."""
    lost = [
        held
        for held in sorted(claims, key=lambda one: one.shard.index)
        if session.change(_RENEW, {**fence(held), "lease_s": lease_s}) != 1
    ]
    return jobs.state_of(session, claims[0].job), lost


def suspect(session: Session, held: Claim, ordinal: int | None) -> None:
    """Note the only row that is worked on; see `Ledger.suspect`."""
    found = session.rows(_SUSPECTED, fence(held))
    if not found:
        refuse(held)
    was, kept = found[0]
    is_cleared = was is not None and was != ordinal and was in _read(kept)
    counts = {"alone": int(ordinal is not None), "cleared": int(is_cleared)}
    session.change(_SUSPECT, {**fence(held), "ordinal": ordinal, **counts})


def absolve(session: Session, held: Claim) -> None:
    """Count bad endings from 0 again; see `Ledger.absolve`."""
    if session.change(_ABSOLVE, fence(held)) != 1:
        refuse(held)


def commit(session: Session, held: Claim, receipt: Receipt | None) -> None:
    """End a shard; the same claim may do so again. See `Ledger.commit`."""
    kept = None if receipt is None else msgspec.json.encode(receipt)
    done = session.rows(_COMMIT, {**fence(held), "receipt": kept})
    if done:
        session.change(_CLEAR, {"num": done[0][0]})
    elif not session.rows(_COMMITTED, fence(held)):
        refuse(held)


def leave(session: Session, owner: str, ending: Ending) -> int:
    """Free all shards of an owner; see `Ledger.leave`."""
    owned = session.rows(_OWNED, {"owner": owner}) if owner else []
    is_bad = ending != "returned"
    if ending in {"killed", "lost"}:
        deaths.note_worker(session, owner)
    for num, crashes, noted, kept in owned:
        suspects = _blamed(_read(kept), noted, ending)
        values: dict[str, Value] = {"num": num, "crashes": crashes + int(is_bad)}
        session.change(_FREE, {**values, "suspects": _written(suspects)})
    return len(owned)


def fence(held: Claim) -> dict[str, Value]:
    """Return what `HELD` asks of a claim."""
    return {
        "job": held.job,
        "idx": held.shard.index,
        "owner": held.owner,
        "attempt": held.attempt,
    }


def refuse(held: Claim) -> NoReturn:
    """Say that a claim is lost.

    Raises:
        FencedError: always.
    """
    raise FencedError(
        f"shard {held.shard.index} of job `{held.job}` is no longer this worker's",
        got=f"attempt {held.attempt} of {held.owner}",
        fix="drop what is left of it: another attempt has it, or will",
    )


def _blamed(suspects: dict[int, Blame], noted: int | None, ending: Ending) -> dict[int, Blame]:
    """Count the death of a worker at a row, if it was at one."""
    if noted is None:
        return suspects
    was = suspects.get(noted, Blame(deaths=0, certain=0))
    match ending:
        case "returned":
            return suspects
        case "crashed":
            blame = Blame(deaths=was.deaths + 1, certain=was.certain + 1)
        case "killed" | "lost":
            blame = Blame(deaths=was.deaths + 1, certain=was.certain)
        case never:
            assert_never(never)
    return {**suspects, noted: blame}


def _read(kept: bytes | None) -> dict[int, Blame]:
    return {} if kept is None else msgspec.json.decode(kept, type=dict[int, Blame])


def _written(suspects: dict[int, Blame]) -> bytes | None:
    return msgspec.json.encode(suspects) if suspects else None
