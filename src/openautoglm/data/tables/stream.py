"""Rows of a query without a key, as they come: `StreamSource`.

One shard; a position is a number of rows and a digest of all of them. Going on from there reads
the query again and passes over so many rows; where they are others than they were, it ends in an
error, so rows are not mixed up, but a query without ORDER BY may have to be read anew. So does the
shard, which ends at the position of the last row: all rows are looked at before the first is given.
A reading holds a transaction and, on the server, a cursor from its first row to its last; a SQLite
file that is not in WAL mode takes no rows meanwhile. Name a key where there is one.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.data.source import Description, Record, Shard
from openautoglm.data.tables.record import Records
from openautoglm.errors import InvalidParameterError, SourceChangedError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sqlalchemy import Connection

    from openautoglm.data.source import Position
    from openautoglm.data.tables.database import Database
    from openautoglm.data.tables.selection import Selection

POSITION: Final = re.compile(r"([1-9]\d{0,14}):([0-9a-f]{12})", re.ASCII)
BUFFERED_ROWS: Final = 64
NO_ROW: Final = "0" * 12


@final
class StreamSource:
    """Read rows in the order in which the database yields them. Use it through `open_source`.

    Args:
        database: where they are.
        selection: which, by all but a key.
        query: what is run.
    """

    def __init__(self, database: Database, selection: Selection, query: str) -> None:
        self._database = database
        self._selection = selection
        self._query = query
        self._to_records = Records(selection)

    def describe(self) -> Description:
        """Count the rows, which runs the query."""
        chosen = self._selection
        with self._database.reading() as connection:
            rows = self._count(connection)
            columns = chosen.columns or self._to_records.sampled(self._database, connection)
        return Description(
            url=self._database.shown,
            columns=columns,
            fingerprint={chosen.name: f"{chosen.digest} rows={rows}"},
            rows=rows,
            is_sampled=not chosen.columns,
        )

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Yield one shard, which means reading all rows."""
        if rows < 1:
            raise InvalidParameterError("a shard has at least one row", got=rows, fix="rows=1000")
        with self._database.reading() as connection:
            rows, end = self._end(connection)
        yield Shard(index=0, stop=end, rows=rows)

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield rows, behind so many where a position says so."""
        passed, digest = self._place(resume_from)
        number, end = 0, None
        with self._database.reading() as connection:
            if shard is not None:
                self._check(shard, *self._end(connection))
            with closing(self._records(connection)) as records:
                for number, record in enumerate(records, start=1):
                    end = record.position
                    if number > passed:
                        yield record
                    elif number == passed and not end.endswith(digest):
                        raise self._moved(resume_from, f"the first {number} rows are others now")
        if number < passed:
            raise self._moved(resume_from, f"there are {number} rows")
        if shard is not None:
            self._check(shard, number, end)

    def close(self) -> None:
        """Forget the engine; connections are open only while rows are read."""
        self._database.close()

    def _records(self, connection: Connection) -> Generator[Record]:
        options = connection.execution_options(stream_results=True, max_row_buffer=BUFFERED_ROWS)
        with closing(options.exec_driver_sql(self._query, ())) as rows:
            digest = hashlib.blake2b(digest_size=6)
            for number, row in enumerate(rows, start=1):
                record = self._to_records.record(str(number), "", tuple(row))
                digest.update(_content(record))
                position = f"{number}:{digest.hexdigest()}"
                yield msgspec.structs.replace(record, position=position)

    def _end(self, connection: Connection) -> tuple[int, Position | None]:
        """Return how many rows there are, and the position of the last one."""
        rows, end = 0, None
        with closing(self._records(connection)) as records:
            for record in records:
                rows, end = rows + 1, record.position
        return rows, end

    def _check(self, shard: Shard, rows: int, end: Position | None) -> None:
        """Refuse a shard whose rows are not those that it was made of."""
        if shard.rows not in {None, rows}:
            raise self._moved(shard.stop, f"there are {rows} rows instead of {shard.rows}")
        if shard.stop not in {None, end}:
            raise self._moved(shard.stop, "rows are others, or in another order, than before")

    def _count(self, connection: Connection) -> int:
        found = self._database.fetch(connection, self._selection.count())
        return int(str(found[0][0]))

    def _place(self, position: Position | None) -> tuple[int, str]:
        if position is None:
            return 0, NO_ROW
        found = POSITION.fullmatch(position)
        if found is None:
            raise self._moved(position, "no such place")
        return int(found[1]), found[2]

    def _moved(self, position: Position | None, why: str) -> SourceChangedError:
        return SourceChangedError(
            "the rows are not those, or not in the order, that they were in",
            got=f"position {position!r} of {self._database.shown}: {why}",
            fix="read from the beginning; a key keeps the order: ?key=COLUMN",
        )


def _content(record: Record) -> bytes:
    return msgspec.json.encode(record.values if record.error is None else str(record.error))
