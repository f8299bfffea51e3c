"""A database that rows are read from or written to: connections, what is there, refusals.

Owns `Database` and `Table`. Every reading and every commit has a connection of its own; none is
open in between. Knows no rows.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.tables.storage import Storage, storage_of
from openautoglm.errors import DataUrlError, InputNotFoundError, OutputWriteError
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine, Inspector

    from openautoglm.data.tables.dialect import Dialect

    Fields = tuple[object, ...]

PATIENCE_S: Final = 30.0
"""How long one waits for a server that was there and is gone."""
_FIRST_PAUSE_S: Final = 0.1
_LAST_PAUSE_S: Final = 2.0
MOST_NAMES: Final = 20
FIXES: Final = {
    "is locked": "another program writes to it: let it end, then try again",
    "is malformed": "the file is damaged: bring back a copy, or try `sqlite3 FILE .recover`",
    "syntax error": "correct the query: one SELECT, as the database takes it in brackets",
    "no such table": "correct the name in the query",
    "does not exist": "correct the name",
}
"""What to do, by what databases say."""
AWAY: Final = frozenset({None, "57P03"})
"""What a server that does not answer, or is starting, says of itself: nothing, or that."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, or a view, as the database describes it.

    Attributes:
        columns: what each holds, in order.
        nullable: columns that may hold null.
        key: columns of the primary key; empty for none.
        unique: other sets of columns that name a row.
        is_view: whether it has no rows of its own.
    """

    columns: Mapping[str, Storage]
    nullable: frozenset[str]
    key: tuple[str, ...]
    unique: tuple[frozenset[str], ...] = ()
    is_view: bool = False


@final
class Database:
    """One database, through an engine that connects anew each time."""

    def __init__(self, dialect: Dialect, engine: Engine, shown: str) -> None:
        self.dialect = dialect
        self.shown = shown
        self._engine = engine
        self._was_there = False

    def __repr__(self) -> str:
        return f"Database({self.shown!r})"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Connect to read.

        Raises:
            InputNotFoundError: there is no connection, or a statement fails.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._connected() as connection:
                yield connection
        except SQLAlchemyError as cause:
            raise InputNotFoundError(
                f"{self.dialect.name} cannot be read: {reason_of(cause)}",
                got=self.shown,
                fix=_fix(cause, "check the database, the query and what this user may read"),
            ) from cause

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; commit it at the end of the block, or leave no trace.

        Raises:
            OutputWriteError: there is no connection, or a statement or the commit fails.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._connected() as connection, connection.begin():
                yield connection
        except SQLAlchemyError as cause:
            raise OutputWriteError(
                f"{self.dialect.name} does not take the rows: {reason_of(cause)}",
                got=self.shown,
                fix="nothing was written; "
                + _fix(cause, "correct the rows or the table and write them again"),
            ) from cause

    def fetch(
        self, connection: Connection, statement: str, values: Fields = ()
    ) -> Sequence[Fields]:
        """Return the rows of a statement, in a transaction of its own.

        A connection that is lost is made again, for half a minute.
        """
        from sqlalchemy.exc import DBAPIError

        was_lost = False
        for is_last in _patience():
            try:
                with connection.begin():
                    return [tuple(row) for row in connection.exec_driver_sql(statement, values)]
            except DBAPIError as error:
                was_lost = was_lost or error.connection_invalidated
                if not was_lost or is_last:
                    raise
        raise AssertionError("the last try returns or raises")

    def columns_of(self, query: str) -> tuple[str, ...]:
        """Return the names of a query's columns.

        Raises:
            DataUrlError: two have one name.
            InputNotFoundError: the database refuses the query.
        """
        with self.reading() as connection:
            # with a cursor of the server's, which takes one statement and no more
            streaming = connection.execution_options(stream_results=True)
            with closing(streaming.exec_driver_sql(query, ())) as found:
                names = tuple(found.keys())
        twice = [name for number, name in enumerate(names) if name in names[:number]]
        if twice:
            raise DataUrlError(
                f"two columns of the query are called `{twice[0]}`",
                got=self.shown,
                fix=f"give one another name: … AS {twice[0]}_2",
            )
        return names

    def table(
        self, connection: Connection, name: str, schema: str | None, *, is_read: bool = False
    ) -> Table | None:
        """Return a table or a view; None where there is none of that name.

        Args:
            connection: to look through.
            name: of the table.
            schema: it is in.
            is_read: whether its rows are to be named, so that more has to be known.
        """
        from sqlalchemy import inspect
        from sqlalchemy.exc import NoSuchTableError

        try:
            return _table(inspect(connection), name, schema, is_read=is_read)
        except NoSuchTableError:
            return None

    def missing(self, connection: Connection, name: str, schema: str | None) -> InputNotFoundError:
        """Return the error for a table that is not there."""
        from sqlalchemy import inspect

        inspector = inspect(connection)
        names = inspector.get_table_names(schema=schema) + inspector.get_view_names(schema=schema)
        near = suggest(name, tuple(names))
        if "." in name and schema is None:
            near = "a schema is an option of its own: ?schema=NAME&table=NAME"
        there = ", ".join(sorted(names)[:MOST_NAMES]) or "none"
        return InputNotFoundError(
            f"there is no table `{name}`", got=self.shown, fix=near or f"tables here: {there}"
        )

    def quoted(self, name: str) -> str:
        """Return a name as it stands in a statement, whatever characters it has."""
        return self._engine.dialect.identifier_preparer.quote_identifier(name)

    def qualified(self, table: str, schema: str | None) -> str:
        """Return the name of a table as it stands in a statement."""
        return (
            self.quoted(table) if schema is None else f"{self.quoted(schema)}.{self.quoted(table)}"
        )

    def check_names(self, *names: str) -> None:
        """Refuse names that no table here can have.

        Raises:
            DataUrlError: says which and why.
        """
        for name in names:
            why = self.dialect.check_name(name)
            if why:
                raise DataUrlError(
                    f"the name `{name[:100]}` {why}", got=self.shown, fix="use another name"
                )

    def _connected(self) -> Connection:
        """Connect; a server that was there and is gone may come back for half a minute."""
        from sqlalchemy.exc import OperationalError

        for is_last in _patience():
            try:
                connection = self._engine.connect()
            except OperationalError as error:
                state = getattr(error.orig, "sqlstate", "")
                if not self._was_there or is_last or state not in AWAY:
                    raise
            else:
                self._was_there = True
                return connection
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Give back what the engine holds."""
        self._engine.dispose()


def _patience() -> Iterator[bool]:
    """Yield for each try whether it is the last one; wait longer and longer in between."""
    patient_until_s, pause_s = time.monotonic() + PATIENCE_S, _FIRST_PAUSE_S
    while time.monotonic() < patient_until_s:
        yield False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)
    yield True


def reason_of(error: Exception) -> str:
    """Return in a line what a database, or its driver, says; statements are left out."""
    said = str(getattr(error, "orig", None) or error)
    lines = [line.strip() for line in said.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("LINE ", "^", "[SQL", "(Back"))]
    return "; ".join(kept)[:500] or type(error).__name__


def _fix(cause: Exception, usual: str) -> str:
    """Return what to do about what a database says."""
    reason = reason_of(cause)
    return next((fix for words, fix in FIXES.items() if words in reason), usual)


def _table(inspector: Inspector, name: str, schema: str | None, *, is_read: bool) -> Table | None:
    columns = inspector.get_columns(name, schema=schema)
    if not columns:
        return None
    key = inspector.get_pk_constraint(name, schema=schema).get("constrained_columns") or ()
    return Table(
        columns={column["name"]: storage_of(column["type"]) for column in columns},
        nullable=frozenset(column["name"] for column in columns if column["nullable"]),
        key=tuple(key),
        unique=_unique(inspector, name, schema) if is_read else (),
        is_view=is_read and name in inspector.get_view_names(schema=schema),
    )


def _unique(inspector: Inspector, name: str, schema: str | None) -> tuple[frozenset[str], ...]:
    constraints = inspector.get_unique_constraints(name, schema=schema)
    return tuple(frozenset(found["column_names"]) for found in constraints)
