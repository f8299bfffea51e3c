"""The long-running part: looks at all schedules when something is due, and at least every second.

Every half minute it also goes on with jobs that were begun and whose processes were killed, one at
a time, behind all that is due. Owns `Scheduler`. Any number of them may share a database, on one
machine or many; each slot is fired by one. Knows no rules of time, catching up or overlap.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final, final

from openautoglm.bus.words import told
from openautoglm.errors import LedgerError, OpenAutoGLMError
from openautoglm.jobs.schedules.news import LOG
from openautoglm.jobs.schedules.slots import Outrun, Slots
from openautoglm.jobs.schedules.turn import Turn, healed, running_jobs
from openautoglm.jobs.schedules.waking import Waker, heeding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from openautoglm.jobs.schedules.launcher import Launcher
    from openautoglm.jobs.schedules.schedules import Schedules
    from openautoglm.jobs.schedules.slot import Entry
    from openautoglm.jobs.schedules.slots import OpenSlot

LEASE_S: Final = 30.0
LOOK_S: Final = 1.0
REVIVE: Final = timedelta(seconds=30)
"""Between two looks for jobs whose processes were killed."""

_LEAST_S: Final = 0.01  # between two looks
_LONGEST_S: Final = 30.0  # between two looks at a database that is away


@final
class Scheduler:
    """Fires the slots of all schedules of a database. One thread at a time may call `tick`.

    Args:
        schedules: what fires, and the clock that says when.
        launcher: starts the jobs.
        lease_s: for how long a launch is left to the scheduler that began it. One that takes longer
            is done a second time, by whoever comes next, which changes nothing.
        look_s: how often to look for what people changed, and for jobs that others wait for.
    """

    def __init__(
        self,
        schedules: Schedules,
        launcher: Launcher,
        *,
        lease_s: float = LEASE_S,
        look_s: float = LOOK_S,
    ) -> None:
        self._clock = schedules.clock
        self._slots = Slots(schedules.database)
        self._launcher = launcher
        self._lease_s = lease_s
        self._look_s = look_s
        self._entries: dict[str, Entry] = {}
        self._refused: dict[str, str] = {}  # turns of those that cannot be read
        self._coming: dict[str, tuple[str, datetime | None]] = {}  # by turn: when it is due next
        self._asked: datetime | None = None  # when it was last asked which jobs there are
        self._begun: deque[tuple[str, str]] = deque()  # schedules and jobs, perhaps killed
        self._is_stopped = False
        self._waker: Waker | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the next tick is to look for more jobs whose processes were killed."""
        return bool(self._begun)

    def tick(self, now: datetime | None = None) -> datetime | None:
        """Fire all that is due, and return when something is next; None where nothing is.

        Then go on with one job whose process was killed, at most: to start one may take seconds.

        Args:
            now: an aware moment; None is that of the clock.

        Raises:
            LedgerError: the database is away. What is due stays due.
        """
        moment = (now or self._clock()).astimezone(UTC)
        self._refresh()
        opened = self._slots.open()  # behind the turns: what it lacks, a changed turn gives away
        coming = [
            self._look(entry, opened.get(name, []), moment)
            for name, entry in list(self._entries.items())
        ]
        self._revive(moment)
        return min((at for at in coming if at is not None), default=None)

    def run(self, until: datetime | None = None) -> None:
        """Tick until a moment, until `stop`, or until SIGTERM or Ctrl-C; SIGHUP ends a sleep.

        A database that is away is tried again and again, each time a little later.
        """
        failures = 0
        acts = {"SIGTERM": self.stop, "SIGINT": self.stop, "SIGHUP": self.wake}
        with Waker() as self._waker, heeding(acts):
            while not self._is_stopped and (until is None or self._clock() < until):
                try:
                    coming, failures = self.tick(), 0
                except LedgerError as error:
                    failures += 1
                    LOG.warning("the schedules cannot be seen to: %s", told(error))
                    self._waker.wait(min(_LONGEST_S, self._look_s * 2 ** min(failures, 5)))
                else:
                    self._waker.wait(self._pause_s(coming, until))
        self._waker = None

    def stop(self) -> None:
        """Let `run` return soon; a launch that it is at is ended first. From any thread."""
        self._is_stopped = True
        self.wake()

    def wake(self) -> None:
        """Let `run` look at once. From any thread."""
        waker = self._waker
        if waker is not None:
            waker.wake()

    def _pause_s(self, *ends: datetime | None) -> float:
        if self.is_behind:
            return _LEAST_S
        now = self._clock()
        left = [(end - now).total_seconds() for end in ends if end is not None]
        return max(_LEAST_S, min([self._look_s, *left]))

    def _refresh(self) -> None:
        """Read the schedules that have changed."""
        turns = self._slots.turns()
        self._entries = {name: entry for name, entry in self._entries.items() if name in turns}
        for name, turn in turns.items():
            entry = self._entries.get(name)
            if (entry is None or entry.turn != turn) and self._refused.get(name) != turn:
                self._read(name, turn)

    def _read(self, name: str, turn: str) -> None:
        self._entries.pop(name, None)
        try:
            self._entries[name] = self._slots.entry(name)
        except Outrun:
            return
        except LedgerError:
            raise
        except OpenAutoGLMError as error:
            self._refused[name] = turn
            LOG.error("schedule %s does not fire: %s", name, told(error))

    def _revive(self, now: datetime) -> None:
        """Go on with one launched job whose process was killed; look for them not too often."""
        is_fresh = self._asked is not None and timedelta(0) <= now - self._asked < REVIVE
        if not (self._begun or is_fresh):
            self._asked = now
            for name in self._slots.with_launched():
                if name in self._entries:
                    jobs = running_jobs(name, self._slots, self._launcher)
                    self._begun.extend((name, job) for job in jobs)
        while self._begun:
            if self._revive_one(*self._begun.popleft()):
                return

    def _revive_one(self, name: str, job: str) -> bool:
        """Return whether the job was killed; whether it goes on is told to people."""
        try:
            is_revived = self._launcher.revive(job)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - one job's trouble is no other's
            LOG.error("%s cannot be gone on with, for schedule %s: %s", job, name, told(error))
            return True
        if is_revived:
            LOG.warning("%s was killed; it is gone on with, for schedule %s", job, name)
        return is_revived

    def _look(self, entry: Entry, opened: Sequence[OpenSlot], now: datetime) -> datetime | None:
        turn, coming = self._coming.get(entry.name, ("", None))
        is_idle = not opened and turn == entry.turn and healed(entry, now) is entry
        if is_idle and (coming is None or now < coming):
            return coming
        look = Turn(
            entry, opened, slots=self._slots, launcher=self._launcher, lease_s=self._lease_s
        )
        try:
            look.take(now)
        except Outrun:
            return now
        except LedgerError:
            raise
        except Exception:  # noqa: BLE001 - one schedule's trouble is no other's
            LOG.exception("schedule %s could not be seen to", entry.name)
            return None
        self._entries[entry.name] = look.entry
        self._coming[entry.name] = (look.entry.turn, look.upcoming(now))
        return self._coming[entry.name][1]
