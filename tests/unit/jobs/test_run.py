"""A job followed and steered from outside: watched, paused, cancelled, tried again, copied."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import JobChangedError, JobNotFoundError, JobStateError
from openautoglm.jobs import run as module
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import LocalLauncher, register
from openautoglm.jobs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.jobs.conftest import Desk

    from openautoglm.jobs.progress import Progress


def watched(run: Run, is_it: Callable[[Progress], bool]) -> Progress:
    """Watch until something is so."""
    return next(progress for progress in run.watch(0.01) if is_it(progress))


def begun(desk: Desk, rows: int = 40) -> tuple[Run, Path]:
    """Start a job that stops after ten rows until the file that is returned is there."""
    gate = desk.folder / "gate"
    desk.number(rows, gate=str(gate))
    run = desk.job(function="job_functions:gated", concurrency=2, shard_rows=20).submit()
    watched(run, lambda progress: progress.counts.ok >= 10)
    return run, gate


def test_a_job_in_the_background_is_watched_to_its_end(desk: Desk) -> None:
    run, gate = begun(desk)
    again = Run.open(run.id[:-3])
    assert again.id == run.id
    assert again.wait(timeout_s=0).state == "running"
    gate.touch()
    states = [progress.state for progress in again.watch(0.01)]
    assert states[-1] == "done"
    assert run.wait().counts.ok == 40
    assert [row["twice"] for row in desk.answers()] == [2 * n for n in range(40)]


@pytest.mark.slow
def test_a_job_is_paused_and_goes_on(desk: Desk) -> None:
    run, gate = begun(desk)
    with pytest.raises(JobStateError, match="another process runs"):
        run.resume()
    run.pause()
    run.pause()
    gate.touch()
    assert run.wait().state == "paused"
    assert run.resume().state == "done"
    assert [row["twice"] for row in desk.answers()] == [2 * n for n in range(40)]
    with pytest.raises(JobStateError, match="nothing to pause"):
        run.pause()
    with pytest.raises(JobStateError, match="nothing to cancel"):
        run.cancel()
    assert run.resume().state == "done"


@pytest.mark.slow
def test_a_cancelled_job_keeps_what_it_did_and_can_be_resumed(desk: Desk) -> None:
    run, gate = begun(desk)
    run.cancel()
    gate.touch()
    assert run.wait().state == "cancelled"
    assert run.status().counts.ok >= 10
    assert run.resume(background=True).state in {"running", "done"}
    assert run.wait().state == "done"
    assert len(desk.answers()) == 40


@pytest.mark.slow
def test_a_source_that_changed_is_refused_and_named(desk: Desk) -> None:
    run, gate = begun(desk)
    run.pause()
    gate.touch()
    before = desk.source.read_bytes()
    status = desk.source.stat()
    desk.source.write_bytes(before + b'{"n": 99}\n')
    for background in (False, True):
        with pytest.raises(JobChangedError, match=r"source in\.jsonl: was size="):
            run.resume(background=background)
    assert run.status().state == "paused"
    desk.source.write_bytes(before)
    os.utime(desk.source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run.resume().state == "done"


def test_failed_rows_are_copied_and_tried_again(desk: Desk) -> None:
    cure = desk.folder / "cure"
    desk.number(9, cure=str(cure))
    run = desk.job(function="job_functions:picky").run()
    errors = desk.folder / "errors.jsonl"
    assert run.export_errors(str(errors)) == 3
    first = json.loads(errors.read_text().splitlines()[0])
    assert (first["key"], first["tries"]) == ("in.jsonl:1", 1)
    assert first["problem"] == "ValueError: three divides 0"
    assert first["values"]["n"] == 0
    cure.touch()
    assert run.retry_failed() == 3
    assert run.status().state == "paused"
    assert run.resume().state == "done"
    assert list(run.errors()) == []
    assert sorted(row["twice"] for row in desk.answers()) == [2 * n for n in range(9)]
    assert run.retry_failed() == 0
    assert run.status().state == "done"
    assert not (desk.folder / "out.jsonl.parts").exists()


@pytest.mark.parametrize("sink", ["out.jsonl", "out/"])
def test_answers_are_copied_elsewhere(desk: Desk, sink: str) -> None:
    desk.number(25)
    run = desk.job(sink=f"{desk.folder}/{sink}", shard_rows=10).run()
    copy = desk.folder / "copy.jsonl"
    assert run.export(str(copy)) == 25
    assert [row["twice"] for row in desk.answers(copy)] == [2 * n for n in range(25)]


def test_what_is_committed_of_a_job_that_is_not_done_can_be_copied(desk: Desk) -> None:
    run, gate = begun(desk)
    copy = desk.folder / "copy.jsonl"
    assert run.export(str(copy)) == 0
    run.pause()
    gate.touch()


def test_a_job_that_nobody_runs_is_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.0)
    desk.number(3)
    with closing(open_at(ledger_url())) as ledger:
        run = Run(register(desk.job(), ledger), ledger_url())
    with pytest.raises(JobStateError, match="no process runs"):
        run.wait()
    assert run.resume().state == "done"


def test_a_job_that_is_not_there_is_told(desk: Desk) -> None:
    with pytest.raises(JobNotFoundError):
        Run.open("nothing")
    assert desk.folder.exists()


def test_a_launcher_starts_a_job_of_an_id_once(desk: Desk) -> None:
    desk.number(3)
    launcher = LocalLauncher()
    assert launcher.state_of("nightly-1") is None
    for _ in range(2):
        assert launcher.launch(desk.job(), "nightly-1") == "nightly-1"
    assert Run.open("nightly-1").wait().state == "done"
    assert launcher.state_of("nightly-1") == "done"
    assert launcher.state_of("nightly") is None
    launcher.cancel("nightly-1")
    assert launcher.state_of("nightly-1") == "done"
    assert len(Run.all()) == 1
