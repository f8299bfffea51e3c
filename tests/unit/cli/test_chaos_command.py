"""`oag chaos` over a job file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.cli.ending import run_to_end

if TYPE_CHECKING:
    import pytest

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


def test_a_job_file_is_run_and_every_row_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAUTOGLM_LEDGER", raising=False)
    Path("chaos_work.py").write_text(WORK)
    Path("job.yaml").write_text(FILE)
    rows = [{"id": number, "text": "a"} for number in range(300)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert run_to_end(["chaos", "job.yaml", "--faults", "1", "--pause-s", "0.2", "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["answered"], report["lost"], report["doubled"]) == (
        300,
        300,
        0,
        0,
    )
    assert len(Path("out.jsonl").read_text().splitlines()) == 300


def test_a_kind_of_fault_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_to_end(["chaos", "job.yaml", "--kind", "drivers"]) == 2
    assert "did you mean `driver`?" in capsys.readouterr().err
