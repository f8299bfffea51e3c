"""Batches from their description to their end, in processes of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

import openautoglm
import openautoglm.bus as bus_module
from openautoglm.bus import Bus, events
from openautoglm.errors import JobSpecError, ModelNotFoundError
from openautoglm.jobs.run import Run
from openautoglm.jobs.spec import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.jobs.conftest import Desk

    from openautoglm.bus import Message
    from openautoglm.jobs.progress import Progress

LABEL: Final = {
    "type": "object",
    "properties": {"label": {"enum": ["billing", "delivery"]}},
    "required": ["label"],
    "additionalProperties": False,
}


def test_the_names_of_the_package_are_the_jobs() -> None:
    from openautoglm.jobs.batch_job import BatchJob

    assert openautoglm.BatchJob is BatchJob
    assert openautoglm.Run is Run


def test_every_row_is_answered_once_and_in_order(desk: Desk) -> None:
    desk.number(250)
    told: list[Progress] = []
    run = desk.job(keep=("text",), shard_rows=100).run(on_progress=told.append)
    assert desk.answers() == [
        {"key": f"in.jsonl:{n + 1}", "text": f"row {n}", "twice": 2 * n} for n in range(250)
    ]
    progress = run.status()
    assert progress.state == "done"
    assert (progress.counts.shards_done, progress.counts.rows, progress.counts.ok) == (3, 250, 250)
    assert told[0].state == "running"
    assert told[-1] == progress
    assert not (desk.folder / "out.jsonl.parts").exists()
    assert run.id.startswith("in-to-out-")
    assert [each.job for each in Run.all()] == [run.id]


def test_each_worker_takes_its_share_where_that_is_asked_for(desk: Desk) -> None:
    desk.number(60)
    out = desk.folder / "out"
    run = desk.job(
        sink=f"{out}/",
        function="job_functions:double_later",
        id_column="n",
        workers=2,
        assignment="static",
        shard_rows=10,
    ).run()
    assert run.status().state == "done"
    assert sorted(row["n"] for row in desk.answers(out)) == list(range(60))
    manifest = json.loads((out / "_manifest.json").read_text())
    assert (manifest["job"], manifest["rows"], len(manifest["parts"])) == (run.id, 60, 6)


def test_a_job_whose_source_is_empty_is_done(desk: Desk) -> None:
    desk.write([])
    assert desk.job().run().status().state == "done"
    assert desk.answers() == []


def test_what_cannot_run_is_in_no_ledger(desk: Desk) -> None:
    with pytest.raises(JobSpecError, match="`source`"):
        desk.job().run()
    assert Run.all() == []


def test_rows_that_fail_are_put_aside_with_the_reason(desk: Desk) -> None:
    desk.number(9)
    run = desk.job(function="job_functions:picky").run()
    assert run.status().counts.failed == 3
    assert [row.key for row in run.errors()] == ["in.jsonl:1", "in.jsonl:4", "in.jsonl:7"]
    assert [row["twice"] for row in desk.answers()] == [2, 4, 8, 10, 14, 16]


def test_too_many_errors_pause_a_job(desk: Desk) -> None:
    desk.number(1000)
    run = desk.job(function="job_functions:broken", concurrency=2, shard_rows=50).run()
    progress = run.status()
    assert progress.state == "paused"
    assert "rows failed, and at most 50% may" in progress.reason
    assert 100 <= progress.counts.failed < 1000


def test_a_budget_pauses_a_job_and_a_larger_one_lets_it_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_WORKER_GRACE_S", "0.1")  # rows under way wait for a file
    gate = desk.folder / "gate"
    desk.number(40, gate=str(gate))
    run = desk.job(function="job_functions:gated", budget=Budget(rows=10), concurrency=2).run()
    progress = run.status()
    assert progress.state == "paused"
    assert "10 rows" in progress.reason
    assert progress.counts.done == 10
    gate.touch()
    assert run.resume(budget=Budget()).state == "done"
    assert [row["twice"] for row in desk.answers()] == [2 * n for n in range(40)]


def test_a_job_whose_model_is_not_there_fails_with_the_reason(desk: Desk) -> None:
    desk.number(3)
    with pytest.raises(ModelNotFoundError) as caught:
        desk.job(template="{text}", model="/no/such/model", backend="native").run()
    (progress,) = Run.all()
    assert progress.state == "failed"
    assert caught.value.problem in progress.reason
    assert progress.job in "".join(caught.value.__notes__)


def test_an_id_twice_fails_the_job_before_a_row_is_answered(desk: Desk) -> None:
    desk.write([{"n": 1}, {"n": 2}, {"n": 1}])
    with pytest.raises(JobSpecError, match="two rows have the id '1'"):
        desk.job(id_column="n").run()
    (progress,) = Run.all()
    assert (progress.state, progress.counts.done) == ("failed", 0)
    assert desk.job(id_column="n", on_duplicate_id="first").run().status().counts.ok == 2
    assert desk.answers() == [{"n": 1, "twice": 2}, {"n": 2, "twice": 4}]


def test_ctrl_c_pauses_a_job_and_says_how_to_go_on(desk: Desk) -> None:
    desk.number(2000)

    def press(progress: Progress) -> None:
        if progress.counts.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        desk.job(function="job_functions:slow", concurrency=4).run(on_progress=press)
    (progress,) = Run.all()
    assert (progress.state, progress.reason) == ("paused", "it was interrupted")
    assert f"oag batch resume {progress.job}" in "".join(caught.value.__notes__)


@pytest.fixture
def heard() -> Iterator[list[events.JobState]]:
    """What is said of jobs while a test runs."""
    found: list[events.JobState] = []

    def hear(message: Message) -> None:
        news = events.read(message)
        assert isinstance(news, events.JobState)
        found.append(news)

    with Bus() as bus:
        bus.subscribe(events.JOB_STATE, hear, inline=True)
        before = bus_module.use(bus)
        yield found
        bus_module.use(before or Bus())


def test_the_bus_is_told_of_a_job(desk: Desk, heard: list[events.JobState]) -> None:
    desk.number(5)
    run = desk.job(name="doubles").run()
    assert {(news.job, news.task) for news in heard} == {(run.id, "doubles")}
    assert [heard[0].state, heard[-1].state] == ["running", "done"]
    assert (heard[-1].done, heard[-1].failed, heard[-1].total) == (5, 0, 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "outputs"),
    [
        ({"pipeline": "classify"}, {"result"}),
        ({"template": "Is it billing or delivery? {text}", "schema": LABEL}, {"output"}),
    ],
)
def test_the_model_of_the_package_answers_rows(
    desk: Desk, fields: dict[str, Any], outputs: set[str]
) -> None:
    desk.write({"text": f"Parcel {n} has not arrived, where is my order?"} for n in range(5))
    run = desk.job(**fields).run()
    answers = desk.answers()
    assert len(answers) == 5
    assert all(set(answer) == {"key"} | outputs for answer in answers)
    assert all(set(answer[name]) == {"label"} for answer in answers for name in outputs)
    assert run.status().counts.tokens > 5
