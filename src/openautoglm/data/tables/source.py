"""Rows of a table, or of a query, in the order of a key: `TableSource`.

A position is the key of a row, so rows that are added or taken away elsewhere move nothing. Rows
are read page by page, in transactions that end before the rows are handed out; how large a page is
follows from how large its rows are. A shard is a range of keys, sealed with a digest of those that
it has; where others are there, the reading ends in an error, before it begins or at its end. What
it does not notice: other columns of a row that are changed in place.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.seal import seal_of, sealed, unsealed
from openautoglm.data.source import Description, Record, Shard
from openautoglm.data.tables.record import Records
from openautoglm.data.tables.storage import Undecodable
from openautoglm.errors import DataUrlError, InvalidParameterError, SourceChangedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from openautoglm.data.source import Position
    from openautoglm.data.tables.database import Database
    from openautoglm.data.tables.selection import Selection

    Fields = tuple[object, ...]

FIRST_PAGE: Final = 8
LARGEST_PAGE: Final = 1_000
PAGE_BYTES: Final = 4 << 20
"""Pages grow up to so many rows, or to rows of so many bytes."""
PLAIN: Final = (int, float, str)
UNFIT: Final = (bytes, list, dict, Undecodable, type(None))


@final
class TableSource:
    """Read rows by their key. Use it through `open_source`."""

    def __init__(self, database: Database, selection: Selection) -> None:
        self._database = database
        self._selection = selection
        self._to_records = Records(selection)

    def describe(self) -> Description:
        """Count the rows, look at their keys and at the last one."""
        chosen = self._selection
        with self._database.reading() as connection:
            self._check_key(connection)
            rows, seal = self._counted(connection)
            last = self._database.fetch(connection, chosen.last())
            columns = chosen.columns or self._to_records.sampled(self._database, connection)
        place = _written(self._plain(last[0])) if last else "none"
        return Description(
            url=self._database.shown,
            columns=columns,
            fingerprint={chosen.name: f"{chosen.digest} rows={rows} last={place} keys={seal}"},
            rows=rows,
            is_sampled=not chosen.columns,
        )

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Yield ranges of keys of `rows` rows; the last one may have fewer.

        Raises:
            DataUrlError: two rows have one key, or a row has none.
            InvalidParameterError: `rows` is less than one.
        """
        if rows < 1:
            raise InvalidParameterError("a shard has at least one row", got=rows, fix="rows=1000")
        with self._database.reading() as connection:
            self._check_key(connection)
            yield from self._ranges(connection, rows)

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield rows in the order of their key."""
        first = None if shard is None or shard.start is None else self._place(shard.start)
        stop, seal = unsealed(shard.stop) if shard is not None and shard.stop else ("", "")
        upto = self._place(stop) if stop else None
        after = first if resume_from is None else self._place(resume_from)
        with self._database.reading() as connection:
            if shard is None and after is None:
                self._check_key(connection)
            self._check(connection, (first, upto), shard, seal)
            yield from self._records(connection, after, upto)
            self._check(connection, (first, upto), shard, seal)  # nothing changed meanwhile

    def close(self) -> None:
        """Forget the engine; connections are open only while rows are read."""
        self._database.close()

    def _ranges(self, connection: Connection, rows: int) -> Iterator[Shard]:
        chosen, fetch = self._selection, self._database.fetch
        index = 0
        begun: Fields | None = None
        after: Fields | None = None
        while found := fetch(connection, *chosen.boundary(after, rows=rows)):
            after = self._plain(found[0])
            yield self._shard(connection, index, begun, after)
            index, begun = index + 1, after
        last = fetch(connection, chosen.last())
        upto = self._plain(last[0]) if last else None
        rest = self._shard(connection, index, begun, upto)
        if rest.rows or not index:
            yield rest

    def _shard(
        self, connection: Connection, index: int, after: Fields | None, upto: Fields | None
    ) -> Shard:
        rows, seal = self._counted(connection, after, upto)
        return Shard(
            index=index,
            start=None if after is None else _written(after),
            stop=None if upto is None else sealed(_written(upto), seal),
            rows=rows,
        )

    def _records(
        self, connection: Connection, after: Fields | None, upto: Fields | None
    ) -> Iterator[Record]:
        width, limit = len(self._selection.key), FIRST_PAGE
        while True:
            page = self._page(connection, after, upto, limit)
            for row in page:
                key = self._plain(row[:width])
                if key == after:
                    raise self._unfit(f"two rows have the key {_written(key)}")
                after = key
                yield self._to_records.record(_name(key), _written(key), row[width:])
            if len(page) < limit:
                return
            limit = _next_limit(page, limit)

    def _page(
        self, connection: Connection, after: Fields | None, upto: Fields | None, limit: int
    ) -> Sequence[Fields]:
        from sqlalchemy.exc import DataError

        statement, values = self._selection.rows(after, upto, limit=limit)
        try:
            return self._database.fetch(connection, statement, values)
        except DataError as cause:
            if not values:
                raise
            raise self._moved(_written(values), "the key is of another type") from cause

    def _counted(
        self, connection: Connection, after: Fields | None = None, upto: Fields | None = None
    ) -> tuple[int, str]:
        """Return how many rows there are, and a digest of their keys."""
        ((rows, census),) = self._database.fetch(connection, *self._selection.counted(after, upto))
        return int(str(rows)), seal_of([str(census)])

    def _check_key(self, connection: Connection) -> None:
        """Refuse a key that leaves rows without a name, or gives two of them one."""
        chosen, fetch = self._selection, self._database.fetch
        if fetch(connection, chosen.null_key()):
            raise self._unfit("a row has null in the key")
        if not chosen.is_unique and (twice := fetch(connection, chosen.double_key())):
            raise self._unfit(f"two rows have the key {_written(self._plain(twice[0]))}")

    def _check(
        self,
        connection: Connection,
        bounds: tuple[Fields | None, Fields | None],
        shard: Shard | None,
        seal: str,
    ) -> None:
        """Refuse a shard whose rows are not those that it was made of."""
        if shard is None or shard.rows is None:
            return
        rows, now = self._counted(connection, *bounds)
        if rows == shard.rows and seal in {"", now}:
            return
        found = "other keys than it had" if rows == shard.rows else f"{rows} rows"
        raise SourceChangedError(
            "rows were added or taken away since the shards were made",
            got=f"shard {shard.index} of {self._database.shown}, of {shard.rows} rows, has {found}",
            fix="begin anew, or read a table that nobody changes",
        )

    def _place(self, position: Position) -> Fields:
        """Return the key in a position, or refuse one that has none."""
        try:
            values = json.loads(position)
        except (ValueError, RecursionError) as cause:
            raise self._moved(position, "no such place") from cause
        width = len(self._selection.key)
        is_key = isinstance(values, list) and len(values) == width
        if not is_key or any(type(value) not in PLAIN for value in values):
            raise self._moved(position, "no such place")
        return tuple(values)

    def _plain(self, key: Fields) -> Fields:
        """Return a key as JSON holds it and the database understands it."""
        for value in key:
            if isinstance(value, UNFIT):
                raise self._unfit(f"a row has {type(value).__name__} in the key")
        return tuple(value if type(value) in PLAIN else str(value) for value in key)

    def _unfit(self, why: str) -> DataUrlError:
        return DataUrlError(
            "the key does not name each row once",
            got=f"{why}: {self._database.shown}",
            fix="name columns that do: ?key=COLUMN or ?key=COLUMN,COLUMN",
        )

    def _moved(self, position: Position, why: str) -> SourceChangedError:
        return SourceChangedError(
            "the source is not what this position was made for",
            got=f"position {position!r} of {self._database.shown}: {why}",
            fix="read from the beginning",
        )


def _written(key: Fields) -> Position:
    return json.dumps(key, ensure_ascii=False, separators=(",", ":"))


def _name(key: Fields) -> str:
    return str(key[0]) if len(key) == 1 else _written(key)


def _next_limit(page: Sequence[Fields], limit: int) -> int:
    """Return how many rows come next, from how large the ones before were."""
    size = sum(len(v) for row in page for v in row if isinstance(v, (str, bytes)))
    return min(2 * limit, LARGEST_PAGE) if size < PAGE_BYTES else max(1, limit // 2)
