"""A batch whose processes are killed: no row is lost, none is there twice."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import InvalidParameterError, JobStateError
from openautoglm.jobs.chaos.assault import assault
from openautoglm.jobs.chaos.kinds import read_kinds
from openautoglm.jobs.chaos.verdict import places
from openautoglm.jobs.home import open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run

if TYPE_CHECKING:
    from conftest import Desk  # type: ignore[import-not-found] # of this folder's parent
    from openautoglm.jobs.batch_job import BatchJob


def planned(desk: Desk, job: BatchJob) -> Run:
    """Return a job that nobody runs."""
    with closing(open_at(desk.ledger)) as ledger:
        return Run(register(job, ledger), desk.ledger)


def test_every_row_is_there_once_whatever_is_killed(desk: Desk) -> None:
    desk.number(1500)
    job = desk.job(
        function="job_functions:slow", id_column="n", workers=2, concurrency=4, shard_rows=100
    )

    told: list[str] = []
    report = assault(
        planned(desk, job),
        job,
        faults=5,
        kinds=("worker", "driver", "both"),
        every_s=(0.4, 0.8),
        seed=7,
        folder=desk.folder,
        tell=told.append,
    )

    assert report.is_exact
    assert (report.rows, report.answered, report.quarantined) == (1500, 1500, 0)
    assert report.kept == 1
    assert report.calls >= 1500
    assert report.hits == len(told) > 0
    # a kill repeats what was under way, and what was not yet written down
    assert report.calls - 1500 <= report.hits * 2 * (job.concurrency + 100)


def test_a_stopped_worker_that_wakes_doubles_nothing(desk: Desk) -> None:
    desk.number(1500)
    job = desk.job(function="job_functions:slow", workers=2, concurrency=4, shard_rows=50)

    report = assault(
        planned(desk, job),
        job,
        faults=2,
        kinds=("pause",),
        every_s=(0.3, 0.5),
        pause_s=0.5,
        seed=3,
        folder=desk.folder,
    )

    assert report.faults["pause"] > 0
    assert report.is_exact
    assert report.answered == 1500


def test_an_attack_is_on_this_machine_whatever_engine_the_settings_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_ENGINE", "ray")  # which refuses a ledger in a file
    desk.number(20)
    job = desk.job(id_column="n")
    assert assault(planned(desk, job), job, faults=0, folder=desk.folder).is_good


def test_a_job_that_pauses_by_itself_is_not_resumed_for_ever(desk: Desk) -> None:
    desk.number(300)
    job = desk.job(function="job_functions:broken", concurrency=4)

    with pytest.raises(JobStateError, match="is paused, and not by the faults") as refused:
        assault(planned(desk, job), job, faults=0, folder=desk.folder)
    assert "oag batch errors" in (refused.value.fix or "")


def test_rows_that_are_lost_or_doubled_are_seen(desk: Desk) -> None:
    desk.number(4)
    desk.sink.write_text('{"n":0}\n{"n":1}\n{"n":1}\n{"n":2}\n', "utf-8")
    job = desk.job(id_column="n")

    found = places(job, ["2"])

    assert (found.rows, found.answered, found.quarantined) == (4, 3, 1)
    assert found.lost == 1  # 3 is nowhere
    assert found.doubled == 2  # 1 is there twice, 2 in the sink and in quarantine


def test_kinds_are_all_unless_some_are_named() -> None:
    assert read_kinds(None) is None
    assert read_kinds(["both", "worker"]) == ("worker", "both")
    with pytest.raises(InvalidParameterError, match="no such kind") as refused:
        read_kinds(["workers"])
    assert refused.value.fix == "did you mean `worker`?"
