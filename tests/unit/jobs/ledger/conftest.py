"""An empty ledger in each kind of database, and a job with shards in it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, Protocol

import psycopg
import pytest

from openautoglm.data import Shard
from openautoglm.jobs.ledger import open_ledger
from openautoglm.jobs.ledger.sql_ledger import SqlLedger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres_server import PostgresServer

DATABASES: Final = ("sqlite", "postgresql")


class Opens(Protocol):
    """Opens the same ledger again and again, each time with a connection of its own."""

    url: str

    def __call__(self, *, patience_s: float = 30.0) -> SqlLedger: ...


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database in which each test has a schema of its own: ten times as quick."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty ledger is to be."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    database: str = request.getfixturevalue("shared_database")
    schema = f"s{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"create schema {schema}".encode())
    return f"{database}?options=-csearch_path%3D{schema}"


@pytest.fixture
def opens(ledger_url: str) -> Iterator[Opens]:
    """A function that opens the ledger; all that it opened are closed at the end."""
    made: list[SqlLedger] = []

    class Opening:
        url = ledger_url

        def __call__(self, *, patience_s: float = 30.0) -> SqlLedger:
            ledger = open_ledger(self.url, patience_s=patience_s)
            assert isinstance(ledger, SqlLedger)
            made.append(ledger)
            return ledger

    yield Opening()
    for ledger in made:
        ledger.close()


@pytest.fixture
def ledger(opens: Opens) -> SqlLedger:
    """An open, empty ledger."""
    return opens()


@pytest.fixture
def job(ledger: SqlLedger) -> str:
    """The id of a job that runs and has three shards of five rows, all planned."""
    ledger.add_job("j-1", name="letters", spec=b"{}", fingerprint={"source": "a"})
    ledger.add_shards("j-1", [Shard(index=at, start=f"p{at}", rows=5) for at in range(3)])
    ledger.end_plan("j-1")
    assert ledger.set_state("j-1", "running", among=frozenset({"planned"}))
    return "j-1"
