"""A ledger by its URL: `open_ledger`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.data.location import redacted
from openautoglm.errors import LedgerError
from openautoglm.jobs.ledger.schema import JOBS, STEPS, prepare
from openautoglm.jobs.ledger.sql_ledger import SqlLedger

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.database import Database
    from openautoglm.jobs.ledger.ledger import Ledger

PATIENCE_S: Final = 30.0
SQLITE: Final = "sqlite:///"


def open_ledger(url: str, *, patience_s: float = PATIENCE_S) -> Ledger:
    """Open a ledger, and make it where there is none.

    Args:
        url: `sqlite:///PATH`, which makes four slashes of an absolute path, or
            `postgresql://user:password@host:port/database`.
        patience_s: how long each method may wait for other processes that hold the database, or
            for a server that is being started again.

    Raises:
        LedgerError: it cannot be opened, is something else, or was made by a newer version.
        MissingExtraError: PostgreSQL is asked for and psycopg is not installed.
    """
    database = open_database(url, patience_s=patience_s)
    try:
        prepare(database, JOBS, STEPS)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database)


def open_database(url: str, *, patience_s: float = PATIENCE_S) -> Database:
    """Open the database of a ledger, for who keeps tables of his own there; see `prepare`.

    Raises:
        LedgerError: it cannot be opened, or is something else.
        MissingExtraError: PostgreSQL is asked for and psycopg is not installed.
    """
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        from openautoglm.jobs.ledger.sqlite import SqliteDatabase

        path = Path(url.removeprefix(SQLITE)).expanduser().absolute()
        return SqliteDatabase(path, patience_s=patience_s)
    if url.startswith(("postgresql://", "postgres://")):
        from openautoglm.jobs.ledger.postgres import PostgresDatabase

        return PostgresDatabase(url, patience_s=patience_s)
    raise LedgerError(
        "a ledger is named by a URL",
        got=redacted(url)[:200],
        fix="write sqlite:///PATH or postgresql://user:password@host:port/database",
    )
