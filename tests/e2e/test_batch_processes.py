"""The real commands in their own processes: interrupted, killed, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

OAG = str(Path(sys.executable).parent / "oag")
WORK = """
import time
from pathlib import Path


def answer(row):
    with Path("calls").open("a") as calls:
        calls.write(f"{row['id']}\\n")
    while row["id"] >= 5 and not Path("gate").exists():
        time.sleep(0.01)
    return {"answer": row["id"]}
"""
JOB = """\
apiVersion: openautoglm/v1
kind: Job
metadata: {name: gated}
spec: {source: rows.jsonl, sink: out.jsonl, function: "gated_work:answer", id_column: id}
"""
SCHEDULE = """\
apiVersion: openautoglm/v1
kind: Schedule
metadata: {name: yearly}
spec:
  cron: "@yearly"
  job: {source: rows.jsonl, sink: "out-{job}.jsonl", function: "gated_work:answer"}
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("OPENAUTOGLM_LEDGER", raising=False)
    Path("gated_work.py").write_text(WORK)
    Path("job.yaml").write_text(JOB)
    Path("yearly.yaml").write_text(SCHEDULE)
    Path("rows.jsonl").write_text("".join(f'{{"id": {n}}}\n' for n in range(20)))
    yield tmp_path
    Path("gate").touch()


def finish(*args: str) -> tuple[int, str, str]:
    done = subprocess.run([OAG, *args], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def begin() -> tuple[subprocess.Popen[str], str]:
    """Start the job; return when five rows have their answer."""
    process = subprocess.Popen(
        [OAG, "batch", "run", "job.yaml", "--progress", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("{") and json.loads(line)["counts"]["ok"] == 5:
            return process, json.loads(line)["job"]
    raise AssertionError("".join(said))


def answers() -> list[int]:
    lines = Path("out.jsonl").read_text().splitlines()
    return sorted(json.loads(line)["answer"] for line in lines)


def test_a_killed_job_goes_on_and_no_row_is_lost_or_twice() -> None:
    process, job = begin()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    Path("gate").touch()
    code, out, err = finish("batch", "resume")
    assert (code, out.split()[:2]) == (0, [job, "done"]), err
    assert answers() == list(range(20))
    calls = [int(line) for line in Path("calls").read_text().split()]
    assert all(calls.count(row) == 1 for row in range(5))  # they had their answer
    assert max(calls.count(row) for row in range(20)) <= 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_an_interrupted_job_is_paused_and_says_how_to_go_on(number: int, code: int) -> None:
    process, job = begin()
    process.send_signal(number)
    Path("gate").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"to go on: oag batch resume {job}" in err
    assert "Traceback" not in err
    assert json.loads(finish("batch", "status", "--json")[1])["state"] == "paused"
    assert finish("batch", "resume", job)[0] == 0
    assert answers() == list(range(20))


def test_a_scheduler_ends_at_sigterm_and_starts_what_was_asked_for() -> None:
    Path("gate").touch()
    assert finish("schedule", "apply", "yearly.yaml")[0] == 0
    process = subprocess.Popen([OAG, "scheduler"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("1 schedules")
    finish("schedule", "trigger", "yearly")
    started = process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (0, False)
    assert "launched" in started, started + err
    code, out, err = finish("batch", "watch")
    assert (code, out.split()[1]) == (0, "done"), err
    job = out.split()[0]
    assert job.startswith("yearly-")
    assert len(Path(f"out-{job}.jsonl").read_text().splitlines()) == 20
    history = finish("schedule", "history", "yearly", "--json")[1]
    assert json.loads(history)["job"] == job
