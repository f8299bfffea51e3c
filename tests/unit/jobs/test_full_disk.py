"""A disk that is really full: the job pauses and says so, and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.jobs.conftest import Desk

IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
FUNCTION = """
def answer(row):
    with open(row["calls"], "ab") as calls:
        calls.write(b"%d\\n" % row["n"])
    return {"text": row["text"] * 100}
"""
PROGRAM = """
import json, os, subprocess, sys
from contextlib import closing

folder, = sys.argv[1:]
sys.path.insert(0, folder)
disk = f"{folder}/disk"
os.mkdir(disk)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", disk], check=True)
os.environ["OPENAUTOGLM_HOME"] = disk

from openautoglm.errors import LedgerError
from openautoglm.jobs.batch_job import BatchJob
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run

job = BatchJob(
    source=f"{folder}/in.jsonl",
    sink=f"{folder}/out.jsonl",
    function="long_answers:answer",
    concurrency=4,
    shard_rows=3000,
)
with closing(open_at(ledger_url())) as ledger:
    run = Run(register(job, ledger), ledger_url())
said = ""
try:
    run.resume()
except LedgerError as error:
    said = error.problem
full = run.status()
subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
end = run.resume()
print(json.dumps({
    "said": said, "state": full.state, "reason": full.reason, "done": full.counts.done,
    "end": end.state, "has_spare": os.path.exists(f"{disk}/ledger.db-spare"),
}))
"""


def may_mount() -> bool:
    """Whether this system lets its users have file systems of their own."""
    try:
        return subprocess.run([*IN_A_NAMESPACE, "true"], check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_mount(), reason="the system refuses users a small disk of their own")
def test_a_job_whose_ledger_fills_its_disk_pauses_with_the_reason_and_goes_on_when_there_is_room(
    desk: Desk,
) -> None:
    calls = desk.folder / "calls"
    (desk.folder / "long_answers.py").write_text(FUNCTION)
    desk.number(3000, calls=str(calls))
    found = run_in_namespace(desk.folder)
    assert found["state"] == "paused"
    assert "no room left for the ledger" in str(found["reason"])
    assert 0 < int(str(found["done"])) < 3000
    assert (found["end"], found["has_spare"]) == ("done", True)
    assert [row["text"] for row in desk.answers()] == [f"row {n}" * 100 for n in range(3000)]
    assert len(calls.read_text().split()) <= 3000 + 4 + 100


def run_in_namespace(folder: Path) -> dict[str, object]:
    """Run the program with a small disk of its own and return what it found."""
    command = [*IN_A_NAMESPACE, sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found
