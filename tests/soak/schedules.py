"""Two schedulers on one ledger, killed (SIGKILL) and started again, again and again.

Their clock runs sixty times as fast as ours. Each time of each schedule must have one slot, and
each slot one job. `python tests/soak/schedules.py` is the long form, on a SQLite file; with
`--ledger postgresql` they share a server, which crashes now and then.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from server import started_server  # type: ignore[import-not-found] # beside
from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.jobs.schedules import Catchup, Schedule, Scheduler, Schedules
from openautoglm.jobs.schedules.slot import job_id
from openautoglm.jobs.schedules.slots import Slots
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.postgres_server import PostgresServer

    from openautoglm.jobs.ledger.records import State

LONG: Final = 500
BEGIN: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
SPEED: Final = 60.0
LEASE_S: Final = 0.3  # of our time
LIFE_S: Final = 0.15  # until one of the two is killed, at most
CRASH_EVERY: Final = 10
"""Schedulers that are killed between two crashes of their server."""
PAUSE: Final = threading.Event()  # never set: a sleep
JOB: Final = JobSpec(source="/data/in.jsonl", sink="/data/out/", template="{text}")
ALL: Final = Catchup(mode="all", window_s=1e8, max=100_000)
SCHEDULES: Final = (
    Schedule(name="often", job=JOB, every="4s", overlap="allow", catchup=ALL),
    Schedule(name="cron", job=JOB, cron="* * * * *", overlap="allow", catchup=ALL),
    Schedule(name="put-off", job=JOB, every="20s", jitter_s=30, overlap="allow", catchup=ALL),
    Schedule(name="in-turn", job=JOB, every="15s", overlap="queue", catchup=ALL),
)


@dataclass
class Outcome:
    """What a run came to; all but the counts on top are findings."""

    restarts: int = 0
    crashes: int = 0
    slots: int = 0
    jobs: int = 0
    repeated: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


class Ledger:
    """Jobs in a file of their own: launched once by id, over at once. Notes every call."""

    def __init__(self, folder: Path, *, laziness: random.Random | None = None) -> None:
        self._file = sqlite3.connect(folder / "jobs.db", timeout=60, isolation_level=None)
        self._file.execute("create table if not exists job(id text primary key)")
        self._file.execute("create table if not exists call(id text)")
        self._laziness = laziness

    def launch(self, spec: JobSpec, job: str) -> str:
        """Take a while, and add a job that is not there."""
        assert spec == JOB
        self._file.execute("insert into call values (?)", (job,))
        self._dawdle()
        self._file.execute("insert or ignore into job values (?)", (job,))
        self._dawdle()
        return job

    def revive(self, job: str) -> bool:
        """Do nothing; it is over."""
        del job
        return False

    def state_of(self, job: str) -> State | None:
        """Return that it is done, if it is there."""
        found = self._file.execute("select 1 from job where id = ?", (job,)).fetchall()
        return "done" if found else None

    def cancel(self, job: str) -> None:
        """Do nothing; it is over."""

    def ids(self, table: str) -> list[str]:
        """Return all jobs, or all calls."""
        return [str(job) for (job,) in self._file.execute(f"select id from {table}")]  # noqa: S608 - ours

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _dawdle(self) -> None:
        if self._laziness is not None:
            PAUSE.wait(self._laziness.random() * 0.01)


def clock_from(began_s: float) -> Callable[[], datetime]:
    """Return a clock that shows `BEGIN` at that moment of the machine's."""
    return lambda: BEGIN + timedelta(seconds=(time.monotonic() - began_s) * SPEED)


@dataclass(frozen=True)
class Place:
    """Where a run is: its folder, its schedules, since when, and the server where there is one."""

    folder: Path
    url: str
    began_s: float
    server: PostgresServer | None = None


def scheduler(place: Place, seed: int) -> None:
    """Be a scheduler, until the end of the process."""
    schedules = Schedules(place.url, clock=clock_from(place.began_s))
    ledger = Ledger(place.folder, laziness=random.Random(seed))  # noqa: S311 - no secret
    Scheduler(schedules, ledger, lease_s=LEASE_S, look_s=0.02).run()


def started(place: Place, seed: int) -> int:
    """Return the id of a new process that is a scheduler."""
    process = os.fork()
    if process:
        return process
    try:
        scheduler(place, seed)
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        traceback.print_exc()
    os._exit(1)


def run(*, restarts: int, seed: int, ledger: str = "sqlite") -> Outcome:
    """Kill one of two schedulers so many times, then let one finish, and look."""
    outcome, chance = Outcome(), random.Random(seed)  # noqa: S311 - no secret
    with ExitStack() as stack:
        place = _place(ledger, stack)
        running = [started(place, n) for n in range(2)]
        while outcome.restarts < restarts:
            PAUSE.wait(chance.random() * LIFE_S)
            which = chance.randrange(2)
            _kill(running[which], outcome)
            outcome.restarts += 1
            running[which] = started(place, seed + outcome.restarts)
            if place.server is not None and outcome.restarts % CRASH_EVERY == 0:
                place.server.stop(signal.SIGQUIT)
                place.server.start()
                outcome.crashes += 1
        for process in running:
            _kill(process, outcome)
        end = clock_from(place.began_s)()
        _finish(place, end)
        _look(place, end, outcome)
    return outcome


def _place(ledger: str, stack: ExitStack) -> Place:
    """Make a place with all schedules in it."""
    name = stack.enter_context(tempfile.TemporaryDirectory(prefix="openautoglm-soak-"))
    folder, url, server = Path(name), f"sqlite:///{name}/schedules.db", None
    if ledger == "postgresql":
        server = started_server(folder, stack)
        url = server.url(server.create_database())
    Ledger(folder).close()
    with Schedules(url, clock=lambda: BEGIN) as schedules:  # loads the driver, too, for all forks
        for schedule in SCHEDULES:
            schedules.apply(schedule)
    return Place(folder, url, time.monotonic(), server)


def _kill(process: int, outcome: Outcome) -> None:
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if not os.WIFSIGNALED(status):
        outcome.ended.append(f"a scheduler ended by itself: status {status}")


def _finish(place: Place, end: datetime) -> None:
    """Do what was begun and what is due, as one more scheduler."""
    ledger = Ledger(place.folder)
    with Schedules(place.url, clock=lambda: end) as schedules:
        last, slots = Scheduler(schedules, ledger), Slots(schedules.database)
        last.tick(end)
        while any(o.slot.due <= end for opened in slots.open().values() for o in opened):
            PAUSE.wait(0.01)  # until the leases of those that were killed are over
            last.tick(end)
    ledger.close()


def _look(place: Place, end: datetime, outcome: Outcome) -> None:
    ledger = Ledger(place.folder)
    jobs, calls = set(ledger.ids("job")), Counter(ledger.ids("call"))
    ledger.close()
    expected: set[str] = set()
    with Schedules(place.url) as schedules:
        for schedule in SCHEDULES:
            slots = schedules.history(schedule.name, 1_000_000)
            times = takewhile(lambda at: at <= end, schedule.times(BEGIN).after(BEGIN))
            missing = set(times) - {slot.fire for slot in slots}
            outcome.lost += [f"{schedule.name} {at.isoformat()}" for at in sorted(missing)]
            outcome.twice += [
                f"{schedule.name} {at.isoformat()}"
                for at, count in Counter(slot.fire for slot in slots).items()
                if count > 1
            ]
            outcome.unfinished += [
                f"{slot.schedule} {slot.fire.isoformat()}: {slot.state} {slot.error}"
                for slot in slots
                if not (slot.state in {"launched", "ended"} and slot.job in jobs)
                and slot.due <= end
            ]
            expected |= {job_id(slot) for slot in slots}
            outcome.slots += len(slots)
    outcome.jobs = len(jobs)
    outcome.invented = sorted(jobs - expected)
    outcome.repeated = sum(count - 1 for count in calls.values())


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where a slot was not fired once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=LONG)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    outcome = run(restarts=options.restarts, seed=options.seed, ledger=options.ledger)
    rows = [
        at_least("restarts", outcome.restarts, options.restarts),
        told("crashes of the server", outcome.crashes),
        at_least("slots", outcome.slots, options.restarts // 2),
        none("times without a slot", outcome.lost),
        none("times with two slots", outcome.twice),
        none("slots without a job", outcome.unfinished),
        none("jobs without a slot", outcome.invented),
        told("launches that a kill cut off, done again", outcome.repeated),
        at_most("of these, beyond one a kill", max(0, outcome.repeated - outcome.restarts - 2), 0),
        none("schedulers that ended by themselves", outcome.ended),
    ]
    finish("Schedulers killed and started again", outcome, rows)


if __name__ == "__main__":
    main()
