"""Rows to a table: a job's part once for all, or a whole output in the place of another.

Owns `TableSink`. Rows wait in a spool until `commit`, which does all in one transaction: for a part
it also writes a row to `_oag_commit`, whose primary key lets the first attempt in and no other. A
process that dies leaves nothing behind, neither rows nor locks.
"""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.formats.row_spool import RowSpool
from openautoglm.data.sink import Receipt
from openautoglm.data.tables.fitting import Fitting
from openautoglm.data.tables.storage import writer_of
from openautoglm.errors import OutputWriteError, SinkConflictError
from openautoglm.platform_io.refusals import unwritable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from openautoglm.data.sink import Part
    from openautoglm.data.source import Row
    from openautoglm.data.tables.address import Address
    from openautoglm.data.tables.database import Database, Table

COMMITS: Final = "_oag_commit"
"""The table of what was committed, beside the table of the rows."""
BATCH_ROWS: Final = 500
_COLUMNS: Final = (
    "target TEXT NOT NULL, job TEXT NOT NULL, shard BIGINT NOT NULL, attempt BIGINT NOT NULL, "
    '"rows" BIGINT NOT NULL, committed_at DOUBLE PRECISION NOT NULL, '
    "PRIMARY KEY (target, job, shard)"
)


@final
class TableSink:
    """Write rows to a table, or nothing. Use it through `open_sink`.

    Args:
        database: to write to.
        address: which table, and how.
        part: of a job; None for a whole output.
        is_new: whether the database is not there yet, so that nobody looks into it.
    """

    def __init__(
        self, database: Database, address: Address, part: Part | None, *, is_new: bool
    ) -> None:
        self._database = database
        self._address = address
        self._part = part
        self._name = database.qualified(address.table, address.schema)
        self._commits = database.qualified(COMMITS, address.schema)
        self._fitting = Fitting(database, self._name, address.key, self._found(is_new=is_new))
        self._spool: RowSpool | None = None
        self._is_open = True
        self._rows = 0
        self._receipt: Receipt | None = None

    def committed(self) -> Receipt | None:
        """Return what is there of this part, whoever committed it."""
        if self._receipt is not None or self._part is None:
            return self._receipt
        with self._database.writing() as connection:
            if self._table(connection, COMMITS) is None:
                return None
            mark = self._database.dialect.mark
            found = connection.exec_driver_sql(
                f'SELECT "rows" FROM {self._commits} '  # noqa: S608 - a quoted name
                f"WHERE target = {mark} AND job = {mark} AND shard = {mark}",
                (self._address.table, self._part.job, self._part.shard),
            ).first()
        return None if found is None else self._receipt_of(int(found[0]))

    def write(self, rows: Sequence[Row]) -> None:
        """Keep rows for the commit."""
        self._check_open()
        checked, kinds = self._fitting.checked(rows, self._rows + 1)
        try:
            if self._spool is None:
                self._spool = RowSpool(None)
            self._spool.add(checked)
        except OSError as cause:
            raise unwritable(tempfile.gettempdir(), 0, cause) from cause
        self._fitting.remember(kinds)
        self._rows += len(checked)

    def commit(self) -> Receipt:
        """Write the rows, and that they are, in one transaction."""
        if self._receipt is not None:
            return self._receipt
        self._check_open()
        with self._database.writing() as connection:
            table = self._ready(connection)
            if self._part is not None:
                self._claim(connection, self._part, self._rows)
            elif table is not None and self._address.mode != "append":
                self._empty(connection)
            if table is not None and self._spool is not None:
                self._insert(connection, table, self._spool)
        self._receipt = self._receipt_of(self._rows)
        self._forget()
        return self._receipt

    def abort(self) -> None:
        """Forget the rows."""
        self._forget()

    def _forget(self) -> None:
        self._is_open = False
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._database.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise SinkConflictError(
                "the sink was committed or aborted before",
                got=self._database.shown,
                fix="open another one",
            )

    def _found(self, *, is_new: bool) -> Table | None:
        if is_new:
            return None
        with self._database.writing() as connection:
            return self._table(connection, self._address.table)

    def _table(self, connection: Connection, name: str) -> Table | None:
        return self._database.table(connection, name, self._address.schema)

    def _ready(self, connection: Connection) -> Table | None:
        """Return the table, made where it is missing and there are rows; None without either."""
        if self._part is not None:
            self._made(connection, COMMITS, f"CREATE TABLE {self._commits} ({_COLUMNS})")
        if not self._fitting.columns:
            return self._table(connection, self._address.table)
        table = self._made(connection, self._address.table, self._fitting.creation())
        if (misfit := self._fitting.misfit(table)) is not None:
            why, fix = misfit
            raise OutputWriteError(why, got=self._database.shown, fix=fix)
        return table

    def _made(self, connection: Connection, name: str, creation: str) -> Table:
        """Return a table, and make it where it is missing and nobody else does so first."""
        found = self._table(connection, name)
        if found is None:
            self._lock(connection, self._commits, is_new=True)
            found = self._table(connection, name)
        if found is None:
            connection.exec_driver_sql(creation, ())
            found = self._table(connection, name)
        if found is None:
            raise self._database.missing(connection, name, self._address.schema)
        return found

    def _lock(self, connection: Connection, name: str, *, is_new: bool) -> None:
        for statement, values in self._database.dialect.locks(name, is_new=is_new):
            connection.exec_driver_sql(statement, values)

    def _claim(self, connection: Connection, part: Part, rows: int) -> None:
        """Note that the part is committed, which only one attempt can."""
        from sqlalchemy.exc import IntegrityError

        marks = ", ".join([self._database.dialect.mark] * 6)
        try:
            connection.exec_driver_sql(
                f"INSERT INTO {self._commits} VALUES ({marks})",  # noqa: S608 - a quoted name
                (self._address.table, part.job, part.shard, part.attempt, rows, time.time()),
            )
        except IntegrityError as cause:
            raise SinkConflictError(
                "another attempt at this part was committed before",
                got=self._database.shown,
                fix="take what is there: `committed()` describes it",
            ) from cause

    def _empty(self, connection: Connection) -> None:
        self._lock(connection, self._name, is_new=False)
        connection.exec_driver_sql(f"DELETE FROM {self._name}", ())  # noqa: S608 - a quoted name

    def _insert(self, connection: Connection, table: Table, spool: RowSpool) -> None:
        names, dialect = self._fitting.columns, self._database.dialect
        columns = ", ".join(map(self._database.quoted, names))
        marks = ", ".join([dialect.mark] * len(names))
        statement = f"INSERT INTO {self._name} ({columns}) VALUES ({marks})"  # noqa: S608 - quoted names
        writers = [writer_of(table.columns[name], is_typed=dialect.is_typed) for name in names]
        for block in spool.blocks():
            for first in range(0, len(block), BATCH_ROWS):
                values = [
                    tuple(write(row.get(name)) for name, write in zip(names, writers, strict=True))
                    for row in block[first : first + BATCH_ROWS]
                ]
                connection.exec_driver_sql(statement, values)

    def _receipt_of(self, rows: int) -> Receipt:
        return Receipt(url=self._database.shown, rows=rows)
