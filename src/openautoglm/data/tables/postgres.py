"""PostgreSQL for tables, through psycopg. Owns what is its own: `PostgresDialect`.

A password may stand in the URL; better it stands in `PGPASSWORD` or `~/.pgpass`, which libpq reads
by itself. No message, name or fingerprint shows it.
"""

from __future__ import annotations

import os
import warnings
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, final
from urllib.parse import unquote, urlsplit

from openautoglm.errors import DataUrlError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection
    from sqlalchemy import Engine

    from openautoglm.data.location import Location
    from openautoglm.data.tables.storage import Storage

MOST_NAME_BYTES: Final = 63
CONNECT_S: Final = "10"
"""How long a connection may take to be made, where nothing else is said."""
OPTIONS: Final = (
    "host",
    "port",
    "user",
    "password",
    "passfile",
    "service",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "connect_timeout",
    "application_name",
    "options",
    "target_session_attrs",
)
"""Options of the URL that libpq gets as they are."""
AS_TEXT: Final = ("date", "time", "timetz", "interval", "inet", "cidr")
AS_MOMENT: Final = ("timestamp", "timestamptz")
SETTINGS: Final = (
    "SET TIME ZONE 'UTC'",
    "SET datestyle TO 'ISO, YMD'",
    "SET intervalstyle TO 'iso_8601'",
)
READ_ONLY: Final = "SET default_transaction_read_only TO on"
TYPES: Final[Mapping[Storage, str]] = MappingProxyType(
    {
        "text": "TEXT",
        "integer": "BIGINT",
        "number": "DOUBLE PRECISION",
        "boolean": "BOOLEAN",
        "json": "JSONB",
    }
)


@final
class PostgresDialect:
    """PostgreSQL 12 or newer."""

    name = "PostgreSQL"
    mark = "%s"
    types = TYPES
    is_typed = True

    def reading(self, location: Location, options: Sequence[str]) -> Engine:
        """Return an engine whose transactions are read-only."""
        return _engine(location, options, is_read_only=True)

    def writing(self, location: Location, options: Sequence[str]) -> Engine:
        """Return an engine that may write."""
        return _engine(location, options, is_read_only=False)

    def is_new(self, location: Location) -> bool:
        """Return False: databases are not made here."""
        del location
        return False

    def escaped(self, query: str) -> str:
        """Double percent signs, which stand for values otherwise."""
        return query.replace("%", "%%")

    def census(self, key: Sequence[str]) -> str:
        """Add up hashes of the keys' texts."""
        return f"sum(hashtextextended(ROW({', '.join(key)})::text, 0))"

    def row_id(self, columns: Sequence[str]) -> str:
        """Return nothing: what PostgreSQL has, `ctid`, changes when a row does."""
        del columns
        return ""

    def check_name(self, name: str) -> str:
        """Refuse names that PostgreSQL would cut."""
        if not name:
            return "is empty"
        is_long = len(name.encode()) > MOST_NAME_BYTES
        return f"is longer than {MOST_NAME_BYTES} bytes" if is_long else ""

    def same_name(self, name: str) -> str:
        """Return it."""
        return name

    def check_text(self, text: str) -> str:
        """Refuse NUL, which no text of PostgreSQL may hold."""
        return "holds a NUL character, which PostgreSQL cannot store" if "\0" in text else ""

    def locks(self, table: str, *, is_new: bool) -> Sequence[tuple[str, tuple[object, ...]]]:
        """Return what keeps others from making a table, or from writing to one."""
        if is_new:
            return (("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"openautoglm {table}",)),)
        return ((f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE", ()),)


def _engine(location: Location, options: Sequence[str], *, is_read_only: bool) -> Engine:
    location.check_options(*options, *OPTIONS)
    why = "rows of a PostgreSQL database"
    need("sqlalchemy", extra="sql", why=why)
    need("psycopg", extra="sql", why=why)
    from sqlalchemy import URL, NullPool, create_engine, event
    from sqlalchemy.exc import SAWarning

    # types of one's own are read as text, as they should be
    warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)
    engine = create_engine(
        URL.create("postgresql+psycopg"),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=_arguments(location),
    )

    def prepare(connection: Connection[tuple[object, ...]], _record: object) -> None:
        settings = (*SETTINGS, READ_ONLY) if is_read_only else SETTINGS
        _prepare(connection, settings)

    event.listen(engine, "connect", prepare)
    return engine


def _arguments(location: Location) -> dict[str, str]:
    """Return what libpq is to connect to; what the URL does not say, libpq knows."""
    before, _, _ = location.url.partition("?")
    try:
        parts = urlsplit(before)
        found = {
            "host": parts.hostname or "",
            "port": str(parts.port or ""),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "dbname": unquote(parts.path.removeprefix("/")),
        }
    except ValueError:
        raise _unreadable(location) from None  # its words may hold a part of the password
    if "@" in parts.path or parts.fragment:
        raise _unreadable(location)
    asked = {name: str(location.options[name]) for name in OPTIONS if name in location.options}
    patience = {"connect_timeout": os.environ.get("PGCONNECT_TIMEOUT", CONNECT_S)}
    return {name: value for name, value in {**patience, **found, **asked}.items() if value}


def _unreadable(location: Location) -> DataUrlError:
    return DataUrlError(
        "this is no URL of a database",
        got=location.shown,
        fix="postgresql://USER@HOST:PORT/DATABASE?table=NAME; write @ : / # in a password as "
        "%40 %3A %2F %23, or leave it to PGPASSWORD",
    )


def _prepare(connection: Connection[tuple[object, ...]], settings: Sequence[str]) -> None:
    """Have values come in one form, whatever the server is set to."""
    from psycopg.adapt import Loader
    from psycopg.types.string import TextLoader

    @final
    class MomentLoader(Loader):
        """Dates Python has no value for, such as `infinity`, stay the text they are."""

        def load(self, data: bytes | bytearray | memoryview) -> str:
            text = bytes(data).decode()
            try:
                return datetime.fromisoformat(text).isoformat()
            except ValueError:
                return text

    for name in AS_TEXT:
        connection.adapters.register_loader(name, TextLoader)
    for name in AS_MOMENT:
        connection.adapters.register_loader(name, MomentLoader)
    connection.execute("; ".join(settings).encode())
    connection.commit()
