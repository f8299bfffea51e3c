"""Whatever is killed, and whenever: a job goes on, loses nothing and doubles nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import JobStateError
from openautoglm.jobs import restarts
from openautoglm.jobs.crews.process import import_path
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.presence import presence_of
from openautoglm.jobs.run import Run

if TYPE_CHECKING:
    from tests.unit.jobs.conftest import Desk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
ROWS = 1000


def registered(desk: Desk, **fields: object) -> Run:
    """Put a job into the ledger that nobody runs."""
    with closing(open_at(ledger_url())) as ledger:
        return Run(register(desk.job(**fields), ledger), ledger_url())


def driver_of(run: Run) -> subprocess.Popen[bytes]:
    """Start a driver as a process that can be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "openautoglm.jobs.driver", run.id, run.ledger],
        env={**os.environ, "PYTHONPATH": import_path()},
        stdout=subprocess.DEVNULL,
    )


def children(process: int) -> list[int]:
    """Return the processes that a process started and that are there."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        found += map(int, (task / "children").read_text("ascii").split())
    return found


def wait_for(run: Run, driver: subprocess.Popen[bytes], done: int) -> bool:
    """Wait until so many rows are done; return False where the driver ended before."""
    for progress in run.watch(0.01):
        if progress.counts.done >= done or driver.poll() is not None:
            break
    return driver.poll() is None


@pytest.mark.slow
def test_kills_at_random_moments_lose_and_double_nothing(desk: Desk) -> None:
    desk.number(ROWS)
    chance = random.Random(20261123)  # noqa: S311 - the same moments each time
    run = registered(desk, function="job_functions:slow", workers=2, concurrency=4, shard_rows=100)
    driver = driver_of(run)
    for done in sorted(chance.sample(range(100, ROWS - 100), 5)):
        if not wait_for(run, driver, done):
            break
        kind = chance.choice(["worker", "driver", "both"])
        workers = children(driver.pid)
        if kind != "worker":
            driver.kill()
            driver.wait()
        for worker in workers if kind == "both" else workers[:1] if kind == "worker" else []:
            os.kill(worker, signal.SIGKILL)
        if kind != "worker":
            driver = driver_of(run)
    driver.wait()
    assert run.resume().state == "done"
    assert [row["twice"] for row in desk.answers()] == [2 * n for n in range(ROWS)]
    assert run.status().counts.ok == ROWS


def test_workers_of_a_killed_driver_end_and_the_next_one_goes_on(desk: Desk) -> None:
    gate = desk.folder / "gate"
    desk.number(40, gate=str(gate))
    run = registered(desk, function="job_functions:gated", concurrency=2, shard_rows=20)
    driver = driver_of(run)
    assert wait_for(run, driver, 10)
    worker = presence_of(children(driver.pid)[0])
    driver.kill()
    driver.wait()
    gate.touch()
    assert run.resume().state == "done"
    while not worker.is_gone():  # or the time of the test is up
        time.sleep(0.01)
    assert [row["twice"] for row in desk.answers()] == [2 * n for n in range(40)]


@pytest.mark.slow
def test_a_driver_that_is_told_to_end_pauses_its_job(desk: Desk) -> None:
    gate = desk.folder / "gate"
    desk.number(40, gate=str(gate))
    run = registered(desk, function="job_functions:gated", concurrency=2, shard_rows=20)
    driver = driver_of(run)
    assert wait_for(run, driver, 10)
    driver.terminate()
    gate.touch()
    assert driver.wait() == 0
    assert run.status().state == "paused"
    assert run.resume().state == "done"


@pytest.mark.slow
def test_a_row_that_kills_its_worker_is_put_aside_and_all_others_are_answered(
    desk: Desk,
) -> None:
    desk.number(30)
    run = registered(desk, function="job_functions:deadly", shard_rows=10, concurrency=4)
    assert run.resume().state == "done"
    assert [row.key for row in run.errors()] == ["in.jsonl:8"]
    assert b"OAG808" in next(run.errors()).error
    assert len(desk.answers()) == 29


def test_workers_that_only_die_make_the_job_fail(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.number(3)
    run = registered(desk, function="unlucky:same")
    monkeypatch.setattr(restarts, "HOPELESS", 0)
    monkeypatch.setenv("UNLUCKY", "1")
    with pytest.raises(JobStateError, match="die again and again") as caught:
        run.resume()
    assert "SIGABRT" in str(caught.value.got)
    assert run.status().state == "failed"
    monkeypatch.delenv("UNLUCKY")
    assert run.resume().state == "done"
