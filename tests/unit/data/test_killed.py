"""A process killed while it commits a part leaves the part once and whole, or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import Part, open_sink, open_source

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import os, signal, sys
from pathlib import Path
from openautoglm.data import Part, open_sink

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

url, where, attempt = sys.argv[1:]
sink = open_sink(url, part=Part(job="job", shard=0, attempt=int(attempt)))
sink.write([{"n": n, "text": "x" * 1000} for n in range(200)])
if where == "written":
    die()
if where == "synced":
    os.link = die
if where == "linked":
    Path.unlink = die
sink.commit()
if where == "committed":
    die()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(
    ("kind", "where", "is_there"),
    [
        ("jsonl", "written", False),
        ("jsonl", "synced", False),
        ("jsonl", "linked", True),
        ("jsonl", "committed", True),
        ("parquet", "synced", False),
        ("csv", "linked", True),
    ],
)
def test_a_part_is_there_whole_or_not_at_all_wherever_its_process_is_killed(
    tmp_path: Path, kind: str, where: str, *, is_there: bool
) -> None:
    url = f"{kind}+file://{tmp_path}/out/"
    command = [sys.executable, "-c", CHILD, url, where, "1"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    again = open_sink(url, part=Part(job="job", shard=0, attempt=2))
    found = again.committed()
    assert (found is not None) == is_there
    if found is None:
        again.write([{"n": n, "text": "x" * 1000} for n in range(200)])
        found = again.commit()
    again.abort()
    assert found.rows == 200
    assert [int(str(r.values["n"])) for r in open_source(url).read()] == list(range(200))
    assert found.size_bytes == (tmp_path / f"out/job-000000.{kind}").stat().st_size
