"""What opens tables by their URLs: one opener of sources, and one of sinks, for each database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.data.tables.address import (
    READING,
    WRITING,
    address_to_read,
    address_to_write,
)
from openautoglm.data.tables.database import Database
from openautoglm.data.tables.postgres import PostgresDialect
from openautoglm.data.tables.selection import of_query, of_table
from openautoglm.data.tables.sink import TableSink
from openautoglm.data.tables.source import TableSource
from openautoglm.data.tables.sqlite import SqliteDialect
from openautoglm.data.tables.stream import StreamSource
from openautoglm.errors import DataUrlError

if TYPE_CHECKING:
    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part
    from openautoglm.data.source import Source
    from openautoglm.data.tables.address import Address
    from openautoglm.data.tables.dialect import Dialect
    from openautoglm.data.tables.selection import Selection


def open_sqlite(location: Location) -> Source:
    """Open a table or a query of a SQLite file, to read.

    Raises:
        DataUrlError: neither a table nor a query is named, or an option or a key is unknown.
        InputNotFoundError: there is no such file or table, or the query is refused.
    """
    return _source(SqliteDialect(), location)


def open_postgresql(location: Location) -> Source:
    """Open a table or a query of a PostgreSQL server, to read; raises as `open_sqlite`."""
    return _source(PostgresDialect(), location)


def open_sqlite_sink(location: Location, part: Part | None) -> TableSink:
    """Open a table of a SQLite file, to write; both are made where they are missing.

    Raises:
        DataUrlError: no table is named, or an option is unknown.
        OutputWriteError: the file cannot be written.
    """
    return _sink(SqliteDialect(), location, part)


def open_postgresql_sink(location: Location, part: Part | None) -> TableSink:
    """Open a table of a PostgreSQL server, to write; it is made where it is missing.

    Raises:
        DataUrlError: no table is named, or an option is unknown.
        OutputWriteError: there is no connection.
    """
    return _sink(PostgresDialect(), location, part)


def _source(dialect: Dialect, location: Location) -> Source:
    address = address_to_read(location)
    database = Database(dialect, dialect.reading(location, READING), location.shown)
    selection = of_query(database, address) if address.query else _of_table(database, address)
    if selection.key:
        return TableSource(database, selection)
    query = dialect.escaped(address.query) or selection.all_rows()
    return StreamSource(database, selection, query)


def _of_table(database: Database, address: Address) -> Selection:
    with database.reading() as connection:
        table = database.table(connection, address.table, address.schema, is_read=True)
        if table is None:
            raise database.missing(connection, address.table, address.schema)
    return of_table(database, address, table)


def _sink(dialect: Dialect, location: Location, part: Part | None) -> TableSink:
    address = address_to_write(location)
    if part is not None and address.mode == "replace":
        raise DataUrlError(
            "parts are added to a table, they replace nothing",
            got=location.shown,
            fix="leave mode=replace out; empty or drop the table before the job",
        )
    database = Database(dialect, dialect.writing(location, WRITING), location.shown)
    database.check_names(address.table, *([address.schema] if address.schema else []))
    return TableSink(database, address, part, is_new=dialect.is_new(location))
