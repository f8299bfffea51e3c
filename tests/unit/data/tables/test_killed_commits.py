"""A process killed while it commits a part to a table leaves the part once and whole, or not."""

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
from openautoglm.data import Part, open_sink
from openautoglm.data.tables.sink import TableSink
from sqlalchemy.engine import Connection

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

url, where = sys.argv[1:]
sink = open_sink(url, part=Part(job="job", shard=0))
sink.write([{"n": n, "text": "x" * 1000} for n in range(700)])
if where == "claimed":
    TableSink._insert = die
if where == "inserted":
    Connection._commit_impl = die
sink.commit()
die()
"""


def killed(url: str, where: str) -> None:
    command = [sys.executable, "-c", CHILD, url, where]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def assert_once(url: str, *, is_there: bool) -> None:
    again = open_sink(url, part=Part(job="job", shard=0, attempt=2))
    found = again.committed()
    assert (found is not None) == is_there
    if found is None:
        again.write([{"n": n, "text": "x" * 1000} for n in range(700)])
        found = again.commit()
    again.abort()
    assert found.rows == 700
    assert [r.values["n"] for r in open_source(url).read()] == list(range(700))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(
    ("where", "is_there"), [("claimed", False), ("inserted", False), ("committed", True)]
)
def test_a_part_is_in_sqlite_once_wherever_its_process_is_killed(
    tmp_path: Path, where: str, *, is_there: bool
) -> None:
    url = f"sqlite:///{tmp_path}/out.db?table=t&key=n"
    killed(url, where)
    assert_once(url, is_there=is_there)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(("where", "is_there"), [("inserted", False), ("committed", True)])
def test_a_part_is_in_postgresql_once_wherever_its_process_is_killed(
    postgres_url: str, where: str, *, is_there: bool
) -> None:
    url = f"{postgres_url}?table=t&key=n"
    killed(url, where)
    assert_once(url, is_there=is_there)
