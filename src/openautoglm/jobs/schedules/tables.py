"""The tables of schedules and slots, beside those of the ledger; and their rows as values.

Knows nothing of when anything fires.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from openautoglm.errors import JobNotFoundError, OpenAutoGLMError, ScheduleError
from openautoglm.jobs.schedules.schedule import Schedule
from openautoglm.jobs.schedules.slot import Entry, Slot, moment, stamp
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Collection

    from openautoglm.jobs.ledger.database import Found, Session, Value
    from openautoglm.jobs.schedules.slot import SlotState

PART: Final = "schedules"
STEPS: Final = (
    (
        """create table oag_schedule(
name text primary key, spec text not null, turn text not null,
is_paused smallint not null default 0, created_utc text not null, enabled_utc text not null,
seen_utc text not null)""",
        """create table oag_slot(
schedule text not null, fire_utc text not null, kind text not null, state text not null,
due_utc text not null, job text, fired_utc text, error text not null default '', spec text,
lease_boot text not null default '', lease_until double precision not null default 0,
primary key(schedule, fire_utc)) {clustered}""",
        """create index oag_slot_open on oag_slot(schedule, fire_utc)
where state in ('waiting', 'claimed')""",
    ),
    (
        """create index oag_slot_launched on oag_slot(schedule, fire_utc)
where state = 'launched'""",
    ),
)
SLOT: Final = "schedule, fire_utc, kind, state, due_utc, job, fired_utc, error"
"""Columns that `slot_of` reads."""

ENTRY: Final = "spec, is_paused, created_utc, enabled_utc, seen_utc, turn"
"""Columns that `entry_of` reads."""

_PUT: Final = """insert into oag_slot(schedule, fire_utc, kind, state, due_utc, error)
values (:schedule, :fire, :kind, :state, :due, :error)"""
_ANEW: Final = """ on conflict(schedule, fire_utc) do update set kind = excluded.kind,
state = excluded.state, due_utc = excluded.due_utc, error = excluded.error, job = null
where oag_slot.state in """


def put(session: Session, slot: Slot, *, over: Collection[SlotState] = ()) -> bool:
    """Add a slot, or put it in the place of what is there in one of those states.

    Returns:
        Whether it did.
    """
    states = ", ".join(f"'{state}'" for state in sorted(over)) or "''"
    values = {
        "schedule": slot.schedule,
        "fire": stamp(slot.fire),
        "kind": slot.kind,
        "state": slot.state,
        "due": stamp(slot.due),
        "error": slot.error,
    }
    return session.change(f"{_PUT}{_ANEW}({states})", values) > 0


def key(slot: Slot) -> dict[str, Value]:
    """Return the values that name a slot."""
    return {"schedule": slot.schedule, "fire": stamp(slot.fire)}


def new_turn() -> str:
    """Return a name for a state of a schedule that no other state has."""
    return os.urandom(8).hex()


def find(session: Session, name: str, *, to_change: bool = True) -> Found:
    """Return the row `ENTRY` of a schedule; one that is to be changed waits for others who do.

    Raises:
        JobNotFoundError: there is none of that name.
    """
    sql = f"select {ENTRY} from oag_schedule where name = :name"  # noqa: S608 - names of ours
    found = session.rows(f"{sql} {{lock}}" if to_change else sql, {"name": name})
    if found:
        return found[0]
    rows = session.rows("select name from oag_schedule order by name")
    names = tuple(str(known) for (known,) in rows)
    raise JobNotFoundError(
        f"there is no schedule `{name}`",
        got=f"schedules: {', '.join(names[:20]) or 'none'}",
        fix=suggest(name, names) or "apply it first",
    )


def slot_of(row: Found) -> Slot:
    """Return a row of `SLOT` as a value."""
    schedule, fire, kind, state, due, job, fired, error = row
    return Slot(
        schedule=schedule,
        fire=moment(fire),
        kind=kind,
        state=state,
        due=moment(due),
        job=job,
        fired=moment(fired) if fired else None,
        error=error,
    )


def entry_of(row: Found) -> Entry:
    """Return a row of `ENTRY` as a value.

    Raises:
        ScheduleError: what it holds is no schedule here: another version wrote it, or its time zone
            is not known on this machine.
    """
    spec, is_paused, created, enabled, seen, turn = row
    try:
        schedule = msgspec.json.decode(spec, type=Schedule)
    except msgspec.ValidationError as cause:
        why = cause.__cause__ if isinstance(cause.__cause__, OpenAutoGLMError) else None
        raise ScheduleError(
            f"a schedule of the ledger cannot be read: {why.problem if why else cause}",
            got=spec[:200],
            fix=why.fix if why else "apply it anew, with the version of openautoglm that runs it",
        ) from cause
    return Entry(
        schedule=schedule,
        is_paused=bool(is_paused),
        created=moment(created),
        enabled_at=moment(enabled),
        seen=moment(seen),
        turn=turn,
    )
