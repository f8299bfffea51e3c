"""One look at one schedule: plan the slots whose time came, finish and launch those whose turn is.

Owns `Turn`. A slot is written down before anything comes of it, and claimed before its job is
launched under an id that follows from the slot; so whoever takes over after a kill does the same,
and a launch that is done twice is one. Knows nothing of other schedules and of waiting.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, final

import msgspec

from openautoglm.bus.words import told
from openautoglm.errors import LedgerError
from openautoglm.jobs.ledger.records import ENDED
from openautoglm.jobs.schedules.due import COUNTED, SKEW, due, window
from openautoglm.jobs.schedules.news import tell
from openautoglm.jobs.schedules.overlap import moves
from openautoglm.jobs.schedules.slot import Slot, jitter, job_id
from openautoglm.jobs.schedules.slots import OpenSlot
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from openautoglm.jobs.schedules.launcher import Launcher
    from openautoglm.jobs.schedules.slot import Entry
    from openautoglm.jobs.schedules.slots import Slots


@final
class Turn:
    """What a scheduler does about a schedule at one moment.

    Args:
        entry: the schedule; as it stands, after each step.
        opened: its slots that are waiting or claimed.
        slots: where they are kept.
        launcher: runs jobs.
        lease_s: for how long a launch is left to whoever claimed it.
    """

    def __init__(
        self,
        entry: Entry,
        opened: Sequence[OpenSlot],
        *,
        slots: Slots,
        launcher: Launcher,
        lease_s: float,
    ) -> None:
        self.entry = entry
        self._opened = list(opened)
        self._slots = slots
        self._launcher = launcher
        self._lease_s = lease_s

    def take(self, now: datetime) -> None:
        """Plan and launch all there is to.

        Raises:
            Outrun: another scheduler, or a person, was faster; look again.
            LedgerError: what is done so far is kept, the rest is for the next look.
        """
        self._plan(now)
        self._finish(now)
        self._launch_due(now)

    def upcoming(self, now: datetime) -> datetime | None:
        """Return when something is due next; None where nothing is."""
        coming = [o.slot.due for o in self._opened if o.slot.due > now]
        if self.entry.is_on:
            after = max(now, self.entry.seen, self.entry.enabled_at)
            times = self.entry.schedule.times(self.entry.created)
            coming += islice(times.after(after), 1)
        return min(coming, default=None)

    def _plan(self, now: datetime) -> None:
        before = self.entry
        after = healed(before, now)
        slots: list[Slot] = []
        if before.is_on:
            schedule, since = before.schedule, max(after.seen, after.enabled_at)
            found = due(schedule.times(before.created), schedule.catchup, seen=since, now=now)
            slots = [self._slot(fire) for fire in found.fire]
            if found.missed is not None:
                slots.insert(0, self._missed(found.missed, found.count))
        if slots:
            after = msgspec.structs.replace(after, seen=now)
        if after is before:
            return
        self.entry, new = self._slots.plan(before, after, slots)
        for slot in new:
            if slot.state == "missed":
                tell(slot)
            else:
                self._opened.append(OpenSlot(slot=slot, spec=None, is_free=True))

    def _slot(self, fire: datetime) -> Slot:
        schedule = self.entry.schedule
        put_off = jitter(schedule.name, fire, schedule.jitter_s)
        return Slot(schedule=schedule.name, fire=fire, due=fire + put_off)

    def _missed(self, fire: datetime, count: int) -> Slot:
        number = f"{count} times or more" if count >= COUNTED else f"{count} times"
        why = "it was" if count == 1 else f"{number} from this one on were"
        return Slot(
            schedule=self.entry.name,
            fire=fire,
            due=fire,
            state="missed",
            error=f"{why} past, and not to be caught up with",
        )

    def _finish(self, now: datetime) -> None:
        """Launch what another scheduler claimed and did not say to have launched."""
        for opened in self._opened:
            if opened.slot.state == "claimed" and opened.is_free:
                self._launch(opened.slot, opened.spec, now)

    def _launch_due(self, now: datetime) -> None:
        ready = [o for o in self._opened if o.slot.state == "waiting" and o.slot.due <= now]
        for opened in ready:
            if opened.slot.kind == "manual":
                self._launch(opened.slot, None, now)
        own = sorted((o.slot for o in ready if o.slot.kind != "manual"), key=lambda s: s.fire)
        if own and self.entry.is_on:
            self._launch_own(own, now)

    def _launch_own(self, waiting: Sequence[Slot], now: datetime) -> None:
        """Launch what the rule of overlap lets, of times of the schedule and of backfills."""
        schedule = self.entry.schedule
        if schedule.overlap in {"skip", "allow"}:  # else it may have waited for another job
            waiting = self._without_late(waiting, now)
        running: tuple[str, ...] = ()
        if schedule.overlap != "allow":
            if any(o.slot.state == "claimed" and not o.is_free for o in self._opened):
                return  # it is being launched right now, elsewhere: its job counts soon
            running = running_jobs(self.entry.name, self._slots, self._launcher)
        chosen = moves(schedule.overlap, waiting, running, most=schedule.catchup.max)
        self._skip(chosen.skip)
        for job in running if chosen.cancel else ():
            self._launcher.cancel(job)
        for slot in chosen.launch:
            self._launch(slot, None, now)

    def _without_late(self, waiting: Sequence[Slot], now: datetime) -> list[Slot]:
        """Skip slots that were planned, and whose time went by with no scheduler there."""
        latest = now - window(self.entry.schedule.catchup)
        late = [slot for slot in waiting if slot.kind == "time" and slot.due < latest]
        self._skip([(slot, "no scheduler was there in time") for slot in late])
        return [slot for slot in waiting if slot not in late]

    def _skip(self, slots: Sequence[tuple[Slot, str]]) -> None:
        if slots:
            self.entry = self._slots.skip(self.entry, slots)
        for slot, why in slots:
            tell(msgspec.structs.replace(slot, state="skipped", error=why))

    def _launch(self, slot: Slot, spec: str | None, now: datetime) -> None:
        job = slot.job or job_id(slot)
        text = spec or msgspec.json.encode(self.entry.schedule.job).decode()
        self.entry = self._slots.claim(self.entry, slot, job=job, spec=text, lease_s=self._lease_s)
        try:
            job = self._launcher.launch(msgspec.json.decode(text, type=JobSpec), job)
        except LedgerError:
            raise  # it stays claimed, and is launched once the lease is over
        except Exception as error:  # noqa: BLE001 - whatever hinders one job is no other's affair
            self._slots.fail(slot, told(error))
            tell(msgspec.structs.replace(slot, state="failed", job=job, error=told(error)))
            return
        self._slots.launch(slot, job, now)
        tell(msgspec.structs.replace(slot, state="launched", job=job, fired=now))


def running_jobs(name: str, slots: Slots, launcher: Launcher) -> tuple[str, ...]:
    """Return the jobs of a schedule that are not over, and note which are."""
    launched = [(slot, slot.job) for slot in slots.launched(name) if slot.job]
    states = {job: launcher.state_of(job) for _, job in launched}
    over = {job for job, state in states.items() if state is None or state in ENDED}
    slots.end([slot for slot, job in launched if job in over])
    return tuple(job for _, job in launched if job not in over)


def healed(entry: Entry, now: datetime) -> Entry:
    """Return a schedule without marks of time that were made when the clock was far ahead of now.

    The same object where there is none.
    """
    latest = now + SKEW
    if entry.seen <= latest and entry.enabled_at <= latest:
        return entry
    return msgspec.structs.replace(
        entry,
        seen=entry.seen if entry.seen <= latest else now,
        enabled_at=entry.enabled_at if entry.enabled_at <= latest else now,
    )
