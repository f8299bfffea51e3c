"""A job whose source is not what it was begun with, or what its shards were made of."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from openautoglm.data import open_source
from openautoglm.errors import JobChangedError, SourceChangedError
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.planning import Planner
from openautoglm.jobs.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.jobs.conftest import Desk

SWAP = ("DELETE FROM t WHERE n = 6", "INSERT INTO t VALUES (7)")


def table(path: Path) -> str:
    """Make a table of the even numbers below 40, and return its URL."""
    run(path, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(0, 40, 2)])
    return f"sqlite:///{path}?table=t"


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_job_is_refused_with_the_difference_where_a_row_was_exchanged(desk: Desk) -> None:
    place = desk.folder / "in.db"
    with closing(open_at(ledger_url())) as ledger:
        job = Run(register(desk.job(source=table(place), shard_rows=5), ledger), ledger_url())
    run(place, *SWAP)
    with pytest.raises(JobChangedError, match=r"source t: was .* keys=\w+, is .* keys=\w+"):
        job.resume()
    run(place, "DELETE FROM t WHERE n = 7", "INSERT INTO t VALUES (6)")
    assert job.resume().state == "done"
    assert sorted(row["twice"] for row in desk.answers()) == [2 * n for n in range(0, 40, 2)]


def test_a_shard_from_the_ledger_is_refused_where_a_row_of_it_was_exchanged(desk: Desk) -> None:
    place = desk.folder / "in.db"
    spec = desk.job(source=table(place), shard_rows=5)
    with closing(open_at(ledger_url())) as ledger:
        ledger.add_job("j", name="j", spec=msgspec.json.encode(spec), fingerprint={})
        assert Planner("j", spec, stop=threading.Event()).plan(ledger)
        ledger.set_state("j", "running", among=frozenset({"planned"}))
        claims = [ledger.claim("j", "me", lease_s=60) for _ in range(2)]
    run(place, *SWAP)
    with closing(open_source(spec.source)) as source:
        first, second = (claim.shard for claim in claims if claim is not None)
        with pytest.raises(SourceChangedError, match="shard 0"):
            next(source.read(first))
        assert len(list(source.read(second))) == 5
