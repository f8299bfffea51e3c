"""The schedules of a database, for people: apply, look, pause, trigger, backfill, history.

Owns `Schedules`. What it writes, schedulers find at their next look. Knows nothing of launching.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final, Self, TypeAlias, final

import msgspec

from openautoglm.errors import ScheduleError
from openautoglm.jobs.embedding import embedded
from openautoglm.jobs.ledger.open import PATIENCE_S, open_database
from openautoglm.jobs.ledger.schema import prepare
from openautoglm.jobs.schedules.due import mark
from openautoglm.jobs.schedules.slot import REDONE, Entry, Slot, moment, stamp
from openautoglm.jobs.schedules.tables import (
    ENTRY,
    PART,
    SLOT,
    STEPS,
    entry_of,
    find,
    new_turn,
    put,
    slot_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from openautoglm.jobs.ledger.database import Session, Value
    from openautoglm.jobs.schedules.schedule import Schedule

MOST: Final = 10_000
"""Times that one backfill may ask for."""

_LEAST: Final = timedelta(microseconds=1)
_Entries: TypeAlias = list[Entry]  # in the class, `list` is a method
_Slots: TypeAlias = list[Slot]
_ADD: Final = ("name", "spec", "turn", "created_utc", "enabled_utc", "seen_utc")
_SPEC: Final = "select spec from oag_schedule where name = :name {lock}"
_CHANGE: Final = """update oag_schedule set spec = :spec, is_paused = :is_paused, turn = :turn,
enabled_utc = :enabled, seen_utc = :seen where name = :name"""
_DROP: Final = """update oag_slot set state = 'skipped', error = :why
where schedule = :name and state = 'waiting' and kind = 'time'"""
_HISTORY: Final = f"""select {SLOT} from oag_slot where schedule = :name
order by fire_utc desc limit :count"""  # noqa: S608 - names of ours


@final
class Schedules:
    """Schedules and their slots. Threads may share one; many processes may open one database.

    Args:
        url: `sqlite:///PATH` or `postgresql://…`; may be that of a ledger.
        clock: returns the time, aware.
        patience_s: how long each method waits for a database that is busy or away.

    Raises:
        LedgerError: it cannot be opened. All methods raise it where they cannot read or write.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.clock: Final = clock or _wall_clock
        self.database: Final = open_database(url, patience_s=patience_s)
        try:
            prepare(self.database, PART, STEPS)
        except BaseException:
            self.database.close()
            raise

    def apply(self, schedule: Schedule) -> bool:
        """Add a schedule, or change the one of its name; return whether that changed anything.

        Nothing that is before this moment fires because of it. A schedule that is paused stays so.
        Its job is kept with its texts in it and its paths absolute: it fires from any folder.

        Raises:
            ScheduleError: it has no job.
            OpenAutoGLMError: a text of its job cannot be read.
        """
        if schedule.job is None:
            raise ScheduleError(
                "job: there is nothing to run",
                got=f"schedule {schedule.name!r} without a job",
                fix="write Schedule(job=JobSpec(…), …)",
            )
        kept = msgspec.structs.replace(schedule, job=embedded(schedule.job))
        spec = msgspec.json.encode(kept).decode()
        return self.database.write(lambda session: self._apply(session, schedule.name, spec))

    def get(self, name: str) -> Entry:
        """Return a schedule as it stands.

        Raises:
            JobNotFoundError: there is none of that name; so do all that take a name.
        """
        row = self.database.read(lambda session: find(session, name, to_change=False))
        return entry_of(row)

    def list(self) -> _Entries:
        """Return all schedules, by name."""
        sql = f"select {ENTRY} from oag_schedule order by name"  # noqa: S608 - names of ours
        return [entry_of(row) for row in self.database.read(lambda session: session.rows(sql))]

    def remove(self, name: str) -> None:
        """Remove a schedule and its history; its jobs go on."""

        def work(session: Session) -> None:
            find(session, name)
            session.change("delete from oag_slot where schedule = :name", {"name": name})
            session.change("delete from oag_schedule where name = :name", {"name": name})

        self.database.write(work)

    def pause(self, name: str) -> bool:
        """Let a schedule fire no more until it is resumed; return whether it was not paused."""
        return self._set_paused(name, is_paused=True)

    def resume(self, name: str) -> bool:
        """Let a schedule fire again, from now on; return whether it was paused."""
        return self._set_paused(name, is_paused=False)

    def trigger(self, name: str) -> Slot:
        """Ask for the job now, whether the schedule is paused or a job of it runs or not."""

        def work(session: Session) -> Slot:
            find(session, name)
            now = self.clock().astimezone(UTC)
            fire = now if now.microsecond else now + _LEAST  # whole seconds are its own times
            slot = Slot(schedule=name, fire=fire, kind="manual", due=now)
            while not put(session, slot):
                slot = msgspec.structs.replace(slot, fire=slot.fire + _LEAST)
            _touch(session, name)
            return slot

        return self.database.write(work)

    def backfill(self, name: str, start: datetime, end: datetime) -> int:
        """Ask for all times from start to end, both included, that have no job; return how many.

        Their jobs run one after another, unless the schedule allows overlap.

        Args:
            name: of the schedule.
            start: an aware moment.
            end: likewise, and past.

        Raises:
            ScheduleError: the moments are none of the past, or there are more than 10,000 times.
        """
        now = self.clock().astimezone(UTC)
        _check_span(start, end, now)

        def work(session: Session) -> int:
            entry = entry_of(find(session, name))
            times = entry.schedule.times(entry.created).after(start - _LEAST)
            found = list(islice(takewhile(lambda time: time <= end, times), MOST + 1))
            if len(found) > MOST:
                raise ScheduleError(
                    f"a backfill is of {MOST} times at most",
                    got=f"{start.isoformat()} to {end.isoformat()}",
                    fix="ask for a shorter span",
                )
            slots = [Slot(schedule=name, fire=at, kind="backfill", due=now) for at in found]
            _touch(session, name)
            return sum(put(session, slot, over=REDONE) for slot in slots)

        return self.database.write(work)

    def history(self, name: str, limit: int = 50) -> _Slots:
        """Return the last slots of a schedule, the latest first; they are kept for 90 days."""

        def work(session: Session) -> _Slots:
            find(session, name, to_change=False)
            return [slot_of(row) for row in session.rows(_HISTORY, {"name": name, "count": limit})]

        return self.database.read(work)

    def close(self) -> None:
        """Close the database; twice is fine."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _apply(self, session: Session, name: str, spec: str) -> bool:
        now = stamp(self.clock())
        if session.insert("oag_schedule", _ADD, [(name, spec, new_turn(), now, now, now)]) > 0:
            return True
        if session.rows(_SPEC, {"name": name})[0][0] == spec:
            return False
        self._change(session, name, {"spec": spec}, why="the schedule was changed before its turn")
        return True

    def _set_paused(self, name: str, *, is_paused: bool) -> bool:
        def work(session: Session) -> bool:
            if bool(find(session, name)[1]) == is_paused:
                return False
            why = "the schedule was paused before its turn"
            self._change(session, name, {"is_paused": int(is_paused)}, why=why)
            return True

        return self.database.write(work)

    def _change(
        self, session: Session, name: str, values: Mapping[str, Value], *, why: str
    ) -> None:
        """Set columns, and see to it that nothing fires that was before now."""
        now = self.clock().astimezone(UTC)
        spec, is_paused, _, enabled, seen, _ = find(session, name)
        changed = {
            "spec": spec,
            "is_paused": is_paused,
            "enabled": stamp(mark(now, moment(enabled))),
            "seen": stamp(mark(now, moment(seen))),
            "turn": new_turn(),
            "name": name,
            **values,
        }
        session.change(_CHANGE, changed)
        session.change(_DROP, {"name": name, "why": why})


def _touch(session: Session, name: str) -> None:
    sql = "update oag_schedule set turn = :turn where name = :name"
    session.change(sql, {"turn": new_turn(), "name": name})


def _check_span(start: datetime, end: datetime, now: datetime) -> None:
    span = f"{start.isoformat()} to {end.isoformat()}"
    if start.tzinfo is None or end.tzinfo is None:
        raise ScheduleError("moments need a time zone", got=span, fix="write an offset behind each")
    if end < start:
        raise ScheduleError("the end is before the start", got=span, fix="swap them")
    if end > now:
        raise ScheduleError(
            "a backfill is of times that are past", got=span, fix="end it now; what comes will fire"
        )


def _wall_clock() -> datetime:
    return datetime.now(UTC)
