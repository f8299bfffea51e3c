"""`oag batch` over jobs that really run, with a ledger in a folder."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.cli.conftest import Command

WORK = """
from pathlib import Path


def loud(row):
    if row["text"] == "bad" and not Path("forgiving").exists():
        raise ValueError("this is bad")
    return {"loud": row["text"].upper()}
"""
FILE = """\
apiVersion: openautoglm/v1
kind: Job
metadata: {name: from file}
spec: {source: rows.jsonl, sink: out.jsonl, function: "loud_work:loud", id_column: id}
"""


@pytest.fixture
def batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oag: Callable[[str], Command]
) -> Iterator[Command]:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAUTOGLM_LEDGER", raising=False)
    Path("loud_work.py").write_text(WORK)
    Path("job.yaml").write_text(FILE)
    rows = [{"id": 1, "text": "a"}, {"id": 2, "text": "bad"}, {"id": 3, "text": "c"}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield oag("batch")
    signal.signal(signal.SIGTERM, before)


def rows_of(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_a_job_of_a_file_runs_fails_rows_and_is_tried_again(batch: Command) -> None:
    ended = batch("run", "job.yaml", "--progress", "json")
    assert ended.code == 1, ended.err
    name, state, rows = ended.out.split(maxsplit=2)
    assert (name[:10], state, rows) == ("from-file-", "done", "3 of 3 rows, 1 failed\n")
    moments = [json.loads(line) for line in ended.err.splitlines() if line.startswith("{")]
    assert moments[-1]["state"] == "done"
    assert f"oag batch errors {name}" in ended.err
    assert rows_of("out.jsonl") == [{"id": 1, "loud": "A"}, {"id": 3, "loud": "C"}]

    failed = json.loads(batch("errors", name[:14]).out)
    assert (failed["key"], failed["values"]) == ("2", {"id": 2, "text": "bad"})
    assert "this is bad" in json.dumps(failed["error"])
    assert batch("errors", "--out", "bad.jsonl").out == "1 rows to bad.jsonl\n"
    assert rows_of("bad.jsonl")[0]["key"] == "2"

    Path("forgiving").touch()
    again = batch("retry-failed")
    assert (again.code, again.out.split()[1]) == (0, "done")
    assert "1 rows to try again" in again.err
    assert [row["id"] for row in rows_of("out.jsonl")] == [1, 3, 2]
    assert batch("retry-failed").err == "0 rows to try again\n"
    assert batch("export", name, "copy.jsonl").out == "3 rows to copy.jsonl\n"
    assert rows_of("copy.jsonl") == rows_of("out.jsonl")


def test_jobs_are_listed_and_told_of(batch: Command) -> None:
    assert batch("list").out == ""
    nothing = batch("status")
    assert (nothing.code, "there is no job yet" in nothing.err) == (2, True)
    options = ("--source", "rows.jsonl", "--sink", "one.jsonl", "--function", "loud_work:loud")
    shown = batch("run", *options, "--name", "one", "--json")
    assert json.loads(shown.out)["name"] == "one"
    job = json.loads(shown.out)["job"]
    assert batch("list").out.split()[0] == job
    assert json.loads(batch("list", "--json").out)["job"] == job
    lines = dict(line.split(None, 1) for line in batch("status").out.splitlines())
    assert (lines["job"], lines["state"]) == (job, "done")
    assert json.loads(batch("status", job, "--json").out)["counts"]["failed"] == 1
    done = batch("watch", job)
    assert (done.code, done.out.split()[1]) == (1, "done")
    assert batch("list", "--ledger", "other.db").out == ""


def test_a_job_in_the_background_is_watched_paused_and_gone_on_with(batch: Command) -> None:
    rows = [{"id": number, "text": "x"} for number in range(30)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--budget-rows", "1", "--rate", "15", "--background")
    job = batch("run", "job.yaml", *options).out.strip()
    stopped = batch("watch", job)
    assert stopped.code == 4, stopped
    assert "the budget of 1 rows is used up" in stopped.err
    assert f"oag batch resume {job}" in stopped.err
    assert batch("cancel").out.split()[1] == "cancelled"
    assert batch("pause").code == 2  # it is over
    ended = batch("resume", "--no-budget")
    assert (ended.code, ended.out.split()[1]) == (0, "done"), ended
    assert sorted(row["id"] for row in rows_of("out.jsonl")) == list(range(30))  # type: ignore[type-var] # numbers
    assert batch("cancel").code == 2


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("run",), "the job has no source"),
        (("run", "--source", "rows.jsonl"), "the job has no sink"),
        (("run", "nope.yaml"), "[OAG501]"),
        (("run", "job.yaml", "--job", "other"), "holds no job `other`"),
        (("run", "job.yaml", "--source", "nope.jsonl"), "nope.jsonl"),
        (("run", "job.yaml", "--task", "clasify"), "did you mean `classify`?"),
        (("run", "job.yaml", "--id-column", "it"), "no column `it`"),
        (("run", "wrong.yaml"), "[OAG801] wrong.yaml:4:84: `id_column`: the source has no"),
        (("run", "wrong.yaml", "--id-column", "no"), "[OAG801] `id_column`: the source has no"),
        (("run", "job.yaml", "--workers", "0"), "--workers"),
        (("run", "job.yaml", "--assignment", "fair"), "--assignment"),
        (("run", "job.yaml", "--option", "x"), "--option"),
        (("status", "nope"), "[OAG802]"),
        (("resume", "nope"), "[OAG802]"),
        (("export", "nope"), "Missing argument"),
        ((), "Usage: oag batch"),
    ],
)
def test_wrong_usage_ends_with_2_and_begins_nothing(
    batch: Command, args: tuple[str, ...], told: str
) -> None:
    Path("wrong.yaml").write_text(FILE.replace("id_column: id", "id_column: it"))
    ended = batch(*args)
    assert ended.code == 2
    assert told in ended.err + ended.out
    assert batch("list").out == ""
