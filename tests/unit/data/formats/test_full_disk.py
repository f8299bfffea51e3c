"""A disk without room leaves nothing behind and says so, whatever the format."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import os, resource, sys
from openautoglm.data import Part, open_sink
from openautoglm.errors import OutputWriteError

kind, where = sys.argv[1:]
sink = open_sink(f"{kind}+file://out/", part=Part(job="j", shard=0))
rows = [{"n": n, "t": os.urandom(500).hex()} for n in range(2000)]
if where == "writing":
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    sink.write(rows[:1000])
    sink.write(rows[1000:])
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    sink.commit()
except OutputWriteError as error:
    sink.abort()
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX's")
@pytest.mark.parametrize(
    ("kind", "where"),
    [("jsonl", "writing"), ("csv", "writing"), ("csv", "committing"), ("parquet", "committing")],
)
def test_a_full_disk_is_said_and_nothing_stays(tmp_path: Path, kind: str, where: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, kind, where],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no room for " in done.stdout
    assert "no room for 0 bytes" not in done.stdout
    assert list((tmp_path / "out").iterdir()) == []
