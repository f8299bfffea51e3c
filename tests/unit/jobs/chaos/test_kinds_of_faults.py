"""A batch under faults of every kind: each is met, no row is lost, none is there twice."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import SINKS, SOURCES
from openautoglm.errors import InvalidParameterError
from openautoglm.jobs.chaos.assault import assault
from openautoglm.jobs.chaos.serving import between
from openautoglm.jobs.home import open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run
from openautoglm.jobs.spec import Rate
from openautoglm.testing.openai_server import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres_server import PostgresServer

    from conftest import Desk  # type: ignore[import-not-found] # of this folder's parent
    from openautoglm.jobs.chaos.kinds import Kind
    from openautoglm.jobs.spec import JobSpec

LONGEST_S = 60.0
OF_DISKS: tuple[Kind, ...] = ("torn-file", "disk-full", "disk-error", "busy", "clock-jump")


def planned(spec: JobSpec, url: str) -> Run:
    """Return a job that nobody runs."""
    with closing(open_at(url)) as ledger:
        return Run(register(spec, ledger), url)


@pytest.mark.parametrize("kind", OF_DISKS)
def test_a_fault_of_the_machine_is_met_and_loses_nothing(desk: Desk, kind: Kind) -> None:
    desk.number(800)
    job = desk.job(
        function="job_functions:slow", id_column="n", workers=2, concurrency=4, shard_rows=25
    )

    report = assault(
        planned(job, desk.ledger),
        job,
        faults=1,
        kinds=(kind,),
        every_s=(0.1, 0.2),
        pause_s=0.4,
        seed=1,
        folder=desk.folder,
    )

    assert report.faults == {kind: 1}
    assert report.is_good
    assert (report.rows, report.answered, report.quarantined) == (800, 800, 0)


def test_a_server_that_answers_rubbish_or_is_down_costs_time_and_no_row(desk: Desk) -> None:
    desk.number(200)
    kinds: tuple[Kind, ...] = ("server-errors", "server-down")
    with OpenAIServer() as server:
        job = desk.job(
            template="{text}",
            model=server.url,
            options={"max_retries": 0},
            id_column="n",
            concurrency=4,
            tries=50,
            backoff_s=0.02,
            rate=Rate(rows_per_s=100.0),
        )
        with between(job) as (spec, proxy):
            report = assault(
                planned(spec, desk.ledger),
                spec,
                faults=2,
                kinds=kinds,
                every_s=(0.2, 0.3),
                pause_s=0.5,
                seed=1,
                folder=desk.folder,
                proxy=proxy,
            )

    assert report.is_good
    assert report.faults == {"server-errors": 1, "server-down": 1}
    assert sum(report.server_answers.values()) > 0
    assert (report.answered, report.quarantined) == (200, 0)


def test_a_ledger_whose_tables_are_locked_and_whose_server_restarts(
    desk: Desk, postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    desk.number(2000)
    job = desk.job(function="job_functions:slow", id_column="n", workers=2, concurrency=4)

    with commanded(postgres_server, tmp_path) as command:
        report = assault(
            planned(job, postgres_url),
            job,
            faults=2,
            kinds=("busy", "database-restart"),
            every_s=(0.1, 0.2),
            pause_s=0.4,
            seed=1,
            folder=desk.folder,
            restart=command,
        )

    assert report.faults == {"busy": 1, "database-restart": 1}
    assert report.is_good
    assert report.answered == 2000


@contextmanager
def commanded(server: PostgresServer, folder: Path) -> Iterator[str]:
    """Yield a command for the shell that crashes a server of this process and starts it again."""
    asked, done = folder / "asked", folder / "done"
    os.mkfifo(asked)
    os.mkfifo(done)

    def serve() -> None:
        while asked.read_text() == "again\n":
            server.stop(signal.SIGQUIT)
            server.start()
            done.write_text("it runs\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"echo again > {asked} && cat {done}"
    finally:
        if thread.is_alive():  # else nobody reads it
            asked.write_text("end\n")
        thread.join(LONGEST_S)


@pytest.fixture
def leaky(desk: Desk) -> Iterator[str]:
    """The URL of a sink that appends what it gets, whichever attempt that is."""
    importlib.import_module("leaky")
    yield f"leaky://{desk.sink}"
    for registry in (SINKS, SOURCES):
        registry.remove("leaky")
    del sys.modules["leaky"]


def test_a_sink_that_does_not_fence_attempts_fails_the_verdict(desk: Desk, leaky: str) -> None:
    desk.number(100)
    job = desk.job(function="leaky:quick", sink=leaky, id_column="n", shard_rows=50)

    report = assault(planned(job, desk.ledger), job, faults=0, folder=desk.folder)

    assert (report.state, report.lost, report.doubled) == ("done", 0, 50)
    assert not report.is_exact
    assert not report.is_good


def test_kinds_that_a_job_cannot_meet_are_told_or_refused(desk: Desk) -> None:
    desk.number(20)
    job = desk.job(id_column="n")

    report = assault(planned(job, desk.ledger), job, faults=0, folder=desk.folder)

    assert set(report.skipped) == {"server-errors", "server-down", "database-restart"}
    assert set(report.faults) == {"worker", "driver", "both", "pause", *OF_DISKS}
    with pytest.raises(InvalidParameterError, match="cannot meet the fault `server-down`"):
        assault(
            planned(job, desk.ledger), job, faults=1, kinds=("server-down",), folder=desk.folder
        )
