"""The loop: it sleeps, wakes, stops, and gets over a database that is away."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from openautoglm.jobs.schedules import Schedule, Scheduler, Schedules
from openautoglm.jobs.schedules.waking import Waker
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from pathlib import Path

    from openautoglm.testing.paper_launcher import PaperLauncher

JOB = JobSpec(source="/data/a.jsonl", sink="/data/out/", template="{text}")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVERY = Schedule(name="e", job=JOB, every="1m", overlap="allow")


class Ticking:
    """A clock that goes on by ten seconds whenever somebody looks at it."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> datetime:
        self.looks += 1
        return NOON + timedelta(seconds=10 * self.looks)


def test_it_fires_until_a_moment(tmp_path: Path, launcher: PaperLauncher) -> None:
    with Schedules(f"sqlite:///{tmp_path / 'a.db'}", clock=Ticking()) as schedules:
        schedules.apply(EVERY)
        Scheduler(schedules, launcher, look_s=0.01).run(until=NOON + timedelta(minutes=5))
    assert [job[-5:-1] for job in launcher.jobs] == ["0110", "0210", "0310", "0410"]


def test_a_database_that_is_away_for_a_while_is_gone_back_to(
    tmp_path: Path, launcher: PaperLauncher
) -> None:
    file, clock = tmp_path / "a.db", Ticking()
    away = tmp_path / "away.db"

    def looked() -> datetime:
        now = clock()
        if clock.looks == 20:
            file.rename(away)
        if clock.looks == 35:
            away.rename(file)
        return now

    with Schedules(f"sqlite:///{file}", clock=looked, patience_s=0.1) as schedules:
        schedules.apply(EVERY)
        Scheduler(schedules, launcher, look_s=0.001).run(until=NOON + timedelta(minutes=15))
        missed = [slot for slot in schedules.history("e") if slot.state == "missed"]
    assert clock.looks > 40
    assert len(launcher.jobs) >= 6
    assert len(missed) == 1


def test_another_thread_ends_it_in_its_sleep(tmp_path: Path, launcher: PaperLauncher) -> None:
    with Schedules(f"sqlite:///{tmp_path / 'a.db'}") as schedules:
        schedules.apply(EVERY)
        scheduler = Scheduler(schedules, launcher, look_s=3600.0)
        thread = threading.Thread(target=scheduler.run)
        thread.start()
        scheduler.stop()
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_a_sleep_ends_at_once_if_it_was_to_be_ended_before() -> None:
    with Waker() as waker:
        for _ in range(100_000):
            waker.wake()
        waker.wait(3600.0)
        waker.wait(0.0)
    waker.wake()


PROGRAM = """
import sys
from openautoglm.jobs.schedules import Scheduler, Schedules
from openautoglm.testing.paper_launcher import PaperLauncher
with Schedules(sys.argv[1]) as schedules:
    scheduler = Scheduler(schedules, PaperLauncher(), look_s=3600.0)
    tick = scheduler.tick
    def told(now=None):
        print("looked", flush=True)
        return tick(now)
    scheduler.tick = told
    scheduler.run()
print("ended", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_signals_wake_it_and_end_it_in_order(tmp_path: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, f"sqlite:///{tmp_path / 'a.db'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looked\n"
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "looked\n"
        process.send_signal(ending)
        assert process.stdout.readline() == "ended\n"
        assert process.wait(timeout=60) == 0
