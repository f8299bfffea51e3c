"""SQLite for tables: a file of this machine. Owns what is its own: `SqliteDialect`.

A URL has three slashes before a relative path and four before an absolute one, as SQLAlchemy's
have. Without a key, a table's `rowid` names its rows; `VACUUM` may renumber it where no column is
an INTEGER PRIMARY KEY, which a job that is resumed notices by the largest one alone.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.tables.storage import Undecodable
from openautoglm.errors import DataUrlError, InputNotFoundError
from openautoglm.platform_io.refusals import folder_not_file, missing_folder, not_found, read_only
from openautoglm.settings import need

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Engine

    from openautoglm.data.location import Location
    from openautoglm.data.tables.storage import Storage

PATIENCE_S: Final = 60.0
"""How long a transaction waits for another one to end."""
ROW_IDS: Final = ("rowid", "_rowid_", "oid")
CENSUS: Final = "oag_census"
"""A function of ours, in connections that read."""
MAGIC: Final = b"SQLite format 3\0"
TYPES: Final[Mapping[Storage, str]] = MappingProxyType(
    {
        "text": "TEXT",
        "integer": "INTEGER",
        "number": "REAL",
        "boolean": "BOOLEAN",
        "json": "JSON",
    }
)


@final
class SqliteDialect:
    """SQLite, through Python's own module."""

    name = "SQLite"
    mark = "?"
    types = TYPES
    is_typed = False

    def reading(self, location: Location, options: Sequence[str]) -> Engine:
        """Return an engine for a file that is there; it never writes."""
        location.check_options(*options)
        path = path_of(location)
        _check_there(path, location)
        return _engine(path, _prepare_reading)

    def writing(self, location: Location, options: Sequence[str]) -> Engine:
        """Return an engine for a file, made by the first transaction where it is missing."""
        location.check_options(*options)
        path = path_of(location)
        if path.exists():
            _check_there(path, location)
        elif not path.parent.is_dir():
            raise missing_folder(str(path), str(path.parent), hint=_hint(location))
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise read_only(str(path))
        engine = _engine(path, _prepare_writing)
        _begin_at_once(engine)
        return engine

    def is_new(self, location: Location) -> bool:
        """Whether there is no file."""
        return not path_of(location).exists()

    def escaped(self, query: str) -> str:
        """Return it: a driver that gets no values leaves a `?` to SQLite, which refuses it."""
        return query

    def census(self, key: Sequence[str]) -> str:
        """Add up hashes of the keys' bytes."""
        return f"{CENSUS}({', '.join(f'hex({expression})' for expression in key)})"

    def row_id(self, columns: Sequence[str]) -> str:
        """Return a name of the row's number that no column has."""
        taken = {column.lower() for column in columns}
        return next((name for name in ROW_IDS if name not in taken), "")

    def check_name(self, name: str) -> str:
        """Refuse what SQLite keeps for itself."""
        if not name:
            return "is empty"
        return "begins with `sqlite_`" if name.lower().startswith("sqlite_") else ""

    def same_name(self, name: str) -> str:
        """Return it in lower case: SQLite does not tell `A` and `a` apart."""
        return name.lower()

    def check_text(self, text: str) -> str:
        """Take every text."""
        del text
        return ""

    def locks(self, table: str, *, is_new: bool) -> Sequence[tuple[str, tuple[object, ...]]]:
        """Return nothing: a transaction that may write is alone from its beginning."""
        del table, is_new
        return ()


@final
class _Census:
    """Adds up hashes of rows, so that their order does not matter."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, *key: str) -> None:
        content = "|".join(key).encode()  # hexadecimal digits
        self._sum += int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")

    def finalize(self) -> str:
        return f"{self._sum:x}"


def path_of(location: Location) -> Path:
    """Return the file that a URL names.

    Raises:
        DataUrlError: it names none.
    """
    path = location.path.removeprefix("/")
    if not path or path.endswith("/") or path == ":memory:":
        raise DataUrlError(
            "the URL names no file",
            got=location.shown,
            fix="sqlite:///reviews.db, or sqlite:////data/reviews.db for an absolute path",
        )
    return Path(path)


def _check_there(path: Path, location: Location) -> None:
    if path.is_dir():
        raise folder_not_file(str(path))
    try:
        with path.open("rb") as file:
            beginning = file.read(len(MAGIC))
    except FileNotFoundError as cause:
        raise not_found(str(path), _siblings(path), hint=_hint(location)) from cause
    except OSError as cause:
        raise InputNotFoundError(
            "the file may not be read", got=str(path), fix="give this user read permission"
        ) from cause
    if beginning not in {b"", MAGIC}:
        raise DataUrlError("this is no SQLite file", got=str(path), fix="name a database")


def _hint(location: Location) -> str:
    absolute = Path(location.path)
    if location.path.startswith("/") and absolute.parent != Path("/") and absolute.parent.is_dir():
        return f"; an absolute path has four slashes: sqlite:///{absolute}"
    return ""


def _siblings(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def _engine(path: Path, prepare: Callable[[sqlite3.Connection, object], None]) -> Engine:
    why = "rows of a SQLite database"
    need("sqlalchemy", extra="sql", why=why)
    from sqlalchemy import URL, NullPool, create_engine, event

    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        hide_parameters=True,
        # a reading may go on in another thread than it began in, one at a time
        connect_args={"check_same_thread": False, "timeout": PATIENCE_S},
    )
    event.listen(engine, "connect", prepare)
    return engine


def _prepare_reading(connection: sqlite3.Connection, _record: object) -> None:
    connection.text_factory = _decoded
    connection.create_aggregate(CENSUS, -1, _Census)  # type: ignore[arg-type]  # typeshed: numbers
    connection.execute("PRAGMA query_only=ON").close()


def _prepare_writing(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_at_once` says


def _begin_at_once(engine: Engine) -> None:
    from sqlalchemy import Connection, event

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "begin", begin)


def _decoded(content: bytes) -> str | Undecodable:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Undecodable(content)
