"""`oag chaos` over a job file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from openautoglm.cli.ending import run_to_end

FILE = """\
apiVersion: openautoglm/v1
kind: Job
metadata: {name: acceptance}
spec: {source: rows.jsonl, sink: out.jsonl, function: "chaos_work:loud", id_column: id}
"""
WORK = """
def loud(row):
    return {"loud": row["text"].upper()}
"""
BAD_WORK = """
def loud(row):
    if row["id"] == 7:
        raise ValueError("not this one")
    return {"loud": row["text"].upper()}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder with a job of three hundred rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "chaos_work", raising=False)  # of another test
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAUTOGLM_LEDGER", raising=False)
    Path("chaos_work.py").write_text(WORK)
    Path("job.yaml").write_text(FILE)
    rows = [{"id": number, "text": "a"} for number in range(300)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.usefixtures("desk")
def test_a_job_file_is_run_and_every_row_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(["chaos", "job.yaml", "--faults", "1", "--pause-s", "0.2", "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["answered"], report["lost"], report["doubled"]) == (
        300,
        300,
        0,
        0,
    )
    assert len(Path("out.jsonl").read_text().splitlines()) == 300


@pytest.mark.usefixtures("desk")
def test_what_was_found_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    Path("chaos_work.py").write_text(BAD_WORK)

    assert run_to_end(["chaos", "job.yaml", "--faults", "0"]) == 0

    told = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert ["quarantined", "1"] in told
    assert ["faults", "disk-full", "0"] in told
    assert ["skipped", "server-down", "the job asks no model server by a URL"] in told
    ((key, error),) = [line[1:] for line in told if line[0] == "refused"]
    assert key == "7:"
    assert "not this one" in error


@pytest.mark.usefixtures("desk")
def test_a_kind_that_the_job_cannot_meet_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(["chaos", "job.yaml", "--kind", "database-restart"]) == 2
    said = capsys.readouterr().err
    assert "cannot meet the fault `database-restart`" in said
    assert "--database-restart" in said


def test_a_kind_of_fault_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_to_end(["chaos", "job.yaml", "--kind", "drivers"]) == 2
    assert "did you mean `driver`?" in capsys.readouterr().err
