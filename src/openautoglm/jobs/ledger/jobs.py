"""Jobs and events of a ledger in SQL, each function within one transaction.

Knows no shard, and no kind of database.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

import msgspec

from openautoglm.data.location import redacted
from openautoglm.errors import JobChangedError, JobNotFoundError
from openautoglm.jobs.ledger import deaths
from openautoglm.jobs.ledger.records import Event, JobRecord, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.ledger.database import Found, Session, Value

_COLUMNS: Final = "id, name, spec, fingerprint, state, reason, is_planned, created_s, changed_s"
_ONE: Final = f"select {_COLUMNS} from oag_job where id = :job"  # noqa: S608 - names of ours
_LIKE: Final = (
    f"select {_COLUMNS} from oag_job"  # noqa: S608 - names of ours
    " where substr(id, 1, length(:job)) = :job order by num desc limit 6"
)
_LAST: Final = f"select {_COLUMNS} from oag_job order by num desc limit :top"  # noqa: S608 - names of ours
_STATE: Final = "select state from oag_job where id = :job"
_HOLD: Final = f"{_STATE} {{lock}}"
_SET: Final = """update oag_job set state = :state, reason = :reason, changed_s = :at_s
where id = :job"""
_DRIVER: Final = "select driver from oag_job where id = :job {lock}"
_CHARGE: Final = """update oag_job
set driver = :owner, lease_boot = :boot, lease_until = {now} + :lease_s
where id = :job
and (driver = '' or driver = :owner or lease_boot <> :boot or lease_until <= {now})"""
_UNCHARGE: Final = """update oag_job set driver = '', lease_until = 0
where id = :job and driver = :owner"""
_EVENTS: Final = """select at_s, kind, subject, content from oag_event
where subject = :subject order by num desc limit :top"""
_ADDED: Final = ("id", "name", "spec", "fingerprint", "state", "reason", "created_s", "changed_s")
_URL: Final = re.compile(r"\S+://\S+")
_SHOWN: Final = 80


def add(
    session: Session, job: str, *, name: str, spec: bytes, fingerprint: Mapping[str, str]
) -> JobRecord:
    """Add a job, or return the one of that id; see `Ledger.add_job`."""
    now = time.time()
    marks = msgspec.json.encode(fingerprint, order="sorted")
    row = (job, storable(name), spec, marks, "planned", "", now, now)
    session.insert("oag_job", _ADDED, [row])
    there = _record(session.rows(_ONE, {"job": job})[0])
    differences = [
        f"{part}: was {_shown(there.fingerprint, part)}, is {_shown(fingerprint, part)}"
        for part in sorted({*there.fingerprint, *fingerprint})
        if there.fingerprint.get(part) != fingerprint.get(part)
    ]
    if there.spec != spec:
        differences.append(f"described otherwise: {_changed_fields(there.spec, spec)}")
    if differences:
        raise JobChangedError(
            f"job `{job}` was begun with something else",
            got="; ".join(differences),
            fix="go on with what it was begun with, or run it as a new job",
        )
    return there


def find(session: Session, job: str) -> JobRecord:
    """Return a job by its id, or the beginning of it; see `Ledger.job`."""
    found = session.rows(_ONE, {"job": job})
    if not found and job:
        found = session.rows(_LIKE, {"job": job})
    if len(found) == 1:
        return _record(found[0])
    if found:
        raise JobNotFoundError(
            f"several jobs begin with `{job}`",
            got=", ".join(str(row[0]) for row in found),
            fix="write more of the id",
        )
    last = ", ".join(str(row[0]) for row in session.rows(_LAST, {"top": 5}))
    raise JobNotFoundError(
        f"no job has the id `{job}`",
        got=f"the last ones: {last}" if last else "this ledger holds no job",
        fix="see that the ledger is the one it was begun in",
    )


def last(session: Session, limit: int) -> list[JobRecord]:
    """Return the last jobs, the newest first."""
    return [_record(row) for row in session.rows(_LAST, {"top": limit})]


def state_of(session: Session, job: str) -> State:
    """Return the state of a job by its whole id."""
    return _state(session, job, session.rows(_STATE, {"job": job}))


def hold(session: Session, job: str) -> State:
    """Return the state of a job; it stays so until the transaction ends."""
    return _state(session, job, session.rows(_HOLD, {"job": job}))


def set_state(
    session: Session, job: str, state: State, *, reason: str, among: frozenset[State]
) -> bool:
    """Change the state; see `Ledger.set_state`."""
    was = hold(session, job)
    if was not in among:
        return False
    reason = storable(reason)
    told: dict[str, Value] = {"state": state, "reason": reason, "at_s": time.time()}
    session.change(_SET, {"job": job, **told})
    note(session, "job.state", job, {"was": was, "is": state, "reason": reason})
    if state == "done":
        deaths.forget_all(session, job)
    return True


def take_charge(session: Session, job: str, owner: str, *, lease_s: float) -> bool:
    """Become, or stay, the one driver; see `Ledger.take_charge`."""
    state_of(session, job)
    ((was,),) = session.rows(_DRIVER, {"job": job})
    is_taken = session.change(_CHARGE, {"job": job, "owner": owner, "lease_s": lease_s}) == 1
    if is_taken and was not in {"", owner}:
        deaths.note_driver(session, job, was)
    return is_taken


def leave_charge(session: Session, job: str, owner: str, *, is_gone: bool) -> None:
    """Give the driving back where it is this owner's; see `Ledger.leave_charge`."""
    was_in_charge = session.change(_UNCHARGE, {"job": job, "owner": owner}) == 1
    if is_gone and was_in_charge:
        deaths.note_driver(session, job, owner)


def end_plan(session: Session, job: str) -> None:
    """Say that all shards are there."""
    state_of(session, job)
    session.change("update oag_job set is_planned = 1 where id = :job", {"job": job})


def note(session: Session, kind: str, subject: str, data: Mapping[str, object]) -> None:
    """Write an event."""
    row = (time.time(), kind, subject, msgspec.json.encode(data))
    session.insert("oag_event", ("at_s", "kind", "subject", "content"), [row])


def events(session: Session, subject: str, limit: int) -> list[Event]:
    """Return the last events about a subject, the newest first."""
    found = session.rows(_EVENTS, {"subject": subject, "top": limit})
    return [Event(at_s=at, kind=kind, subject=about, data=data) for at, kind, about, data in found]


def storable(text: str) -> str:
    """Return a text that every database takes: no NUL, no halves of characters."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _state(session: Session, job: str, found: list[Found]) -> State:
    if not found:
        find(session, job)  # tells what there is
        raise JobNotFoundError(f"`{job}` is the beginning of an id", fix="write all of it")
    state: State = found[0][0]
    return state


def _record(row: Found) -> JobRecord:
    job, name, spec, fingerprint, state, reason, is_planned, created_s, changed_s = row
    return JobRecord(
        id=job,
        name=name,
        spec=spec,
        fingerprint=msgspec.json.decode(fingerprint, type=dict[str, str]),
        state=state,
        reason=reason,
        is_planned=bool(is_planned),
        created_s=created_s,
        changed_s=changed_s,
    )


def _shown(fingerprint: Mapping[str, str], part: str) -> str:
    """Return one part for a message: passwords in URLs are left out."""
    if part not in fingerprint:
        return "nothing"
    text = _URL.sub(lambda found: redacted(found[0]), fingerprint[part])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _changed_fields(was: bytes, now: bytes) -> str:
    """Name what differs in two descriptions; values are not shown, since they may be secret."""
    try:
        before = msgspec.json.decode(was, type=dict[str, object])
        after = msgspec.json.decode(now, type=dict[str, object])
    except msgspec.DecodeError:
        return "all of it"
    missing = object()
    names = {*before, *after}
    return (
        ", ".join(
            sorted(name for name in names if before.get(name, missing) != after.get(name, missing))
        )
        or "its order"
    )
