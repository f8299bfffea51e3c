"""Jobs of schedules whose processes were killed: they are gone on with, once, and not for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import JobStateError
from openautoglm.jobs.crews.process import import_path
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import LocalLauncher, register
from openautoglm.jobs.notes import Notes
from openautoglm.jobs.presence import presence_of
from openautoglm.jobs.reviving import IN_VAIN, may_be_revived
from openautoglm.jobs.run import Run
from openautoglm.jobs.schedules import Overlap, Schedule, Scheduler, Schedules
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.jobs.conftest import Desk

    from openautoglm.testing.paper_launcher import PaperLauncher

    from .conftest import Clock

JOB = JobSpec(source="/data/a.jsonl", sink="/data/out/", template="{text}")


def fired(schedules: Schedules) -> list[tuple[str, str]]:
    """Return hours and states, the first time first."""
    return [(s.fire.strftime("%H"), s.state) for s in reversed(schedules.history("h", 99))]


@pytest.mark.parametrize(
    ("overlap", "state"), [("skip", "skipped"), ("queue", "waiting"), ("allow", "launched")]
)
def test_a_killed_job_is_gone_on_with_within_half_a_minute_and_counts_as_running(
    schedules: Schedules,
    launcher: PaperLauncher,
    live: Callable[..., None],
    overlap: Overlap,
    state: str,
) -> None:
    schedules.apply(Schedule(name="h", job=JOB, cron="0 * * * *", overlap=overlap))
    live(hours=1)
    launcher.killed = ["h-20261123T130000Z"]
    live(seconds=31, step=timedelta(seconds=1))
    assert launcher.killed == []
    live(minutes=59, seconds=29)
    assert fired(schedules) == [("13", "launched"), ("14", state)]
    launcher.end()
    live(hours=1)
    assert fired(schedules)[-1] == ("15", "waiting" if overlap == "queue" else "launched")


def test_nobody_asks_about_a_job_that_is_over(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None], clock: Clock
) -> None:
    asked: list[str] = []
    schedules.apply(Schedule(name="h", job=JOB, cron="0 * * * *"))
    live(hours=1)
    launcher.end()

    def revive(job: str) -> bool:
        asked.append(job)
        return False

    launcher.revive = revive  # type: ignore[method-assign]  # a fake's own
    live(minutes=10)
    clock.now -= timedelta(hours=3)  # a clock that is put back keeps nobody from looking
    live(minutes=1)
    assert asked == []


def test_what_cannot_be_gone_on_with_hinders_no_other(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(Schedule(name="h", job=JOB, cron="0 * * * *", overlap="allow"))
    live(hours=1)

    def revive(job: str) -> bool:
        raise JobStateError(job)

    launcher.revive = revive  # type: ignore[method-assign]  # a fake's own
    live(hours=2)
    assert len(launcher.jobs) == 3


def test_what_is_due_fires_before_killed_jobs_are_gone_on_with_one_each_tick(
    schedules: Schedules,
    launcher: PaperLauncher,
    scheduler: Scheduler,
    live: Callable[..., None],
    clock: Clock,
) -> None:
    for name in ("a", "b"):
        schedules.apply(Schedule(name=name, job=JOB, cron="0 * * * *", overlap="allow"))
    live(hours=3)
    killed = list(launcher.jobs)
    assert len(killed) == 6
    clock.now += timedelta(hours=1)
    left: list[int] = []
    launcher.killed = list(killed)
    launcher.before = lambda _: left.append(len(launcher.killed))
    scheduler.tick()
    assert left == [6, 6]
    assert len(launcher.killed) == 5
    for count in (4, 3, 2, 1, 0):
        assert scheduler.is_behind
        scheduler.tick()
        assert len(launcher.killed) == count
    scheduler.tick()
    assert not scheduler.is_behind


def begun(desk: Desk, gate: Path) -> tuple[Run, subprocess.Popen[bytes]]:
    """Start a job as a process that can be killed, and wait until some of its rows are done."""
    desk.number(40, gate=str(gate))
    job = desk.job(function="job_functions:gated", concurrency=2, shard_rows=20)
    with closing(open_at(ledger_url())) as ledger:
        run = Run(register(job, ledger), ledger_url())
    driver = subprocess.Popen(
        [sys.executable, "-m", "openautoglm.jobs.driver", run.id, run.ledger],
        env={**os.environ, "PYTHONPATH": import_path()},
        stdout=subprocess.DEVNULL,
    )
    next(p for p in run.watch(0.01) if p.counts.done >= 10 or driver.poll() is not None)
    return run, driver


@pytest.mark.skipif(sys.platform != "linux", reason="who is gone is told by /proc")
def test_a_job_whose_driver_is_killed_is_gone_on_with_and_its_rows_are_there_once(
    desk: Desk,
) -> None:
    gate = desk.folder / "gate"
    run, driver = begun(desk, gate)
    launcher = LocalLauncher()
    assert not launcher.revive(run.id)
    driver.kill()
    driver.wait()
    gate.touch()
    assert launcher.revive(run.id)
    assert run.wait().state == "done"
    assert not launcher.revive(run.id)
    assert [row["twice"] for row in desk.answers()] == [2 * n for n in range(40)]


def test_a_job_that_dies_again_and_again_before_any_row_is_done_is_paused(desk: Desk) -> None:
    desk.number(3)
    with closing(open_at(ledger_url())) as ledger:
        job = register(desk.job(), ledger)
        ledger.set_state(job, "running", among=frozenset({"planned"}))
        for _ in range(IN_VAIN):
            assert may_be_revived(ledger, job)
        assert not may_be_revived(ledger, job)  # by one process, each time
        assert ledger.job(job).state == "paused"
        assert "was killed 4 times" in ledger.job(job).reason
        assert not may_be_revived(ledger, job)
        ledger.set_state(job, "running", among=frozenset({"paused"}))
        assert ledger.take_charge(job, "somebody", lease_s=60.0)
        assert not may_be_revived(ledger, job)


def test_one_death_that_many_schedulers_hear_of_counts_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.number(3)
    with closing(open_at(ledger_url())) as ledger:
        job = register(desk.job(), ledger)
        ledger.set_state(job, "running", among=frozenset({"planned"}))
        for death in range(IN_VAIN):
            Notes(ledger, job).driver_began(f"driver-{death}", presence_of(os.getpid()))
            for machine in range(4):
                monkeypatch.setattr("socket.gethostname", lambda at=machine: f"machine-{at}")
                assert may_be_revived(ledger, job)
        Notes(ledger, job).driver_began("driver-last", presence_of(os.getpid()))
        assert not may_be_revived(ledger, job)
        assert ledger.job(job).state == "paused"


@pytest.mark.skipif(sys.platform != "linux", reason="who is gone is told by /proc")
def test_a_driver_whose_process_is_gone_has_no_charge_whatever_its_lease(desk: Desk) -> None:
    desk.number(3)
    with closing(open_at(ledger_url())) as ledger:
        job = register(desk.job(), ledger)
        ledger.set_state(job, "running", among=frozenset({"planned"}))
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        assert ledger.take_charge(job, "driver", lease_s=600.0)
        Notes(ledger, job).driver_began("driver", presence_of(process.pid))
        assert not may_be_revived(ledger, job)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert may_be_revived(ledger, job)
