"""The slots of a database, for schedulers: what is open, and each step of a slot's life.

Owns `Slots`. Every step that another scheduler's choice might clash with names the `turn` of the
schedule that it was chosen in, and is refused with `Outrun` once that has changed. So two
schedulers never act on the same slot, whatever each of them knew. Knows no rules of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.errors import JobNotFoundError
from openautoglm.jobs.schedules.slot import Entry, Slot, SlotState, stamp
from openautoglm.jobs.schedules.tables import SLOT, entry_of, find, key, new_turn, put, slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from openautoglm.jobs.ledger.database import Database, Session, Value

KEEP: Final = timedelta(days=90)
"""How long slots are remembered that are over."""

_COLUMNS: Final = 8  # of SLOT
_UNDECIDED: Final[tuple[SlotState, ...]] = ("missed",)  # were the clock put back, it may yet come
_OPEN: Final = f"""select {SLOT}, spec,
case when lease_boot <> :boot or lease_until <= {{now}} then 1 else 0 end
from oag_slot where state in ('waiting', 'claimed') order by schedule, fire_utc"""  # noqa: S608 - names of ours
_LAUNCHED: Final = f"""select {SLOT} from oag_slot
where schedule = :name and state = 'launched' order by fire_utc desc limit 1000"""  # noqa: S608 - names of ours
_WITH_LAUNCHED: Final = """select distinct schedule from oag_slot
where state = 'launched' order by schedule"""
_TURN: Final = """update oag_schedule set turn = :new, seen_utc = :seen, enabled_utc = :enabled
where name = :name and turn = :old"""
_CLAIM: Final = """update oag_slot set state = 'claimed', job = :job, spec = :spec,
lease_boot = :boot, lease_until = {now} + :lease where schedule = :schedule and fire_utc = :fire
and (state = 'waiting' or state = 'claimed' and (lease_boot <> :boot or lease_until <= {now}))"""
_LAUNCH: Final = """update oag_slot set state = 'launched', job = :job, fired_utc = :fired,
spec = null where schedule = :schedule and fire_utc = :fire and state = 'claimed'"""
_FAIL: Final = """update oag_slot set state = 'failed', error = :error, spec = null
where schedule = :schedule and fire_utc = :fire and state = 'claimed'"""
_SKIP: Final = """update oag_slot set state = 'skipped', error = :error
where schedule = :schedule and fire_utc = :fire and state = 'waiting'"""
_END: Final = """update oag_slot set state = 'ended'
where schedule = :schedule and fire_utc = :fire and state = 'launched'"""
_FORGET: Final = """delete from oag_slot where schedule = :name and fire_utc < :before
and state not in ('waiting', 'claimed')"""


class Outrun(Exception):  # noqa: N818 - no error: somebody else was first
    """The schedule or one of its slots has changed since it was read."""


@final
class OpenSlot(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that somebody has to see to.

    Attributes:
        slot: waiting, or claimed.
        spec: JSON of what is launched, of one that is claimed.
        is_free: whether no scheduler is at it, or the one that was has had its time.
    """

    slot: Slot
    spec: str | None
    is_free: bool


@final
class Slots:
    """Reads and steps; each is one transaction. All raise `LedgerError`, as the database does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def turns(self) -> dict[str, str]:
        """Return the turn of each schedule."""
        sql = "select name, turn from oag_schedule order by name"
        return dict(self._database.read(lambda session: session.rows(sql)))

    def entry(self, name: str) -> Entry:
        """Return a schedule as it stands.

        Raises:
            Outrun: it was removed.
            ScheduleError: it cannot be read.
        """
        try:
            row = self._database.read(lambda session: find(session, name, to_change=False))
        except JobNotFoundError as cause:
            raise Outrun from cause
        return entry_of(row)

    def open(self) -> dict[str, list[OpenSlot]]:
        """Return what is waiting or claimed, by schedule, in order of time."""
        found: dict[str, list[OpenSlot]] = {}
        for row in self._database.read(lambda session: session.rows(_OPEN)):
            slot, (spec, is_free) = slot_of(row[:_COLUMNS]), row[_COLUMNS:]
            opened = OpenSlot(slot=slot, spec=spec, is_free=bool(is_free))
            found.setdefault(slot.schedule, []).append(opened)
        return found

    def with_launched(self) -> list[str]:
        """Return the schedules with slots whose jobs are not known to be over."""
        rows = self._database.read(lambda session: session.rows(_WITH_LAUNCHED))
        return [name for (name,) in rows]

    def launched(self, name: str) -> list[Slot]:
        """Return slots of a schedule whose jobs are not known to be over, the last 1000 of them."""
        rows = self._database.read(lambda session: session.rows(_LAUNCHED, {"name": name}))
        return [slot_of(row) for row in rows]

    def plan(self, before: Entry, after: Entry, slots: Sequence[Slot]) -> tuple[Entry, list[Slot]]:
        """Add slots whose time came, and note until when times have been dealt with.

        Args:
            before: the schedule as it was read.
            after: the same, with other marks of time.
            slots: of times up to its `seen`.

        Returns:
            The schedule as it stands then, and the slots that were not there before.

        Raises:
            Outrun: the schedule has changed.
        """

        def work(session: Session) -> tuple[Entry, list[Slot]]:
            turned = _turned(session, before, after)
            new = [slot for slot in slots if put(session, slot, over=_UNDECIDED)]
            session.change(_FORGET, {"name": after.name, "before": stamp(after.seen - KEEP)})
            return turned, new

        return self._database.write(work)

    def claim(self, entry: Entry, slot: Slot, *, job: str, spec: str, lease_s: float) -> Entry:
        """Take a slot, to launch a job of that id; while the lease lasts no other scheduler does.

        Raises:
            Outrun: the schedule or the slot has changed.
        """
        values: Mapping[str, Value] = {**key(slot), "job": job, "spec": spec, "lease": lease_s}

        def work(session: Session) -> Entry:
            after = _turned(session, entry, entry)
            if session.change(_CLAIM, values) == 0:
                raise Outrun
            return after

        return self._database.write(work)

    def skip(self, entry: Entry, slots: Sequence[tuple[Slot, str]]) -> Entry:
        """Note of slots that they are not launched, and why.

        Raises:
            Outrun: the schedule has changed.
        """

        def work(session: Session) -> Entry:
            after = _turned(session, entry, entry)
            for slot, why in slots:
                session.change(_SKIP, {**key(slot), "error": why})
            return after

        return self._database.write(work)

    def launch(self, slot: Slot, job: str, fired: datetime) -> None:
        """Note that the job of a claimed slot was launched."""
        values: Mapping[str, Value] = {**key(slot), "job": job, "fired": stamp(fired)}
        self._database.write(lambda session: session.change(_LAUNCH, values))

    def fail(self, slot: Slot, error: str) -> None:
        """Note that the job of a claimed slot cannot be launched."""
        values: Mapping[str, Value] = {**key(slot), "error": error}
        self._database.write(lambda session: session.change(_FAIL, values))

    def end(self, slots: Sequence[Slot]) -> None:
        """Note that the jobs of launched slots are over."""

        def work(session: Session) -> None:
            for slot in slots:
                session.change(_END, key(slot))

        if slots:
            self._database.write(work, is_durable=False)


def _turned(session: Session, before: Entry, after: Entry) -> Entry:
    """Change a schedule, if it is as it was; return it as it stands then."""
    turned = msgspec.structs.replace(after, turn=new_turn())
    values: Mapping[str, Value] = {
        "name": before.name,
        "old": before.turn,
        "new": turned.turn,
        "seen": stamp(turned.seen),
        "enabled": stamp(turned.enabled_at),
    }
    if session.change(_TURN, values) == 0:
        raise Outrun
    return turned
