"""Tables of this process, by name: `memory://answers`. For tests, examples and small hand-overs.

Owns `MEMORY`. What it does not do: outlive the process, or be seen by another one.
"""

from __future__ import annotations

import threading
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.columns import checked_row, columns_of
from openautoglm.data.sink import Receipt
from openautoglm.data.source import Description, Record, Row, Shard
from openautoglm.errors import (
    InputNotFoundError,
    InvalidParameterError,
    SinkConflictError,
    SourceChangedError,
)
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part
    from openautoglm.data.source import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    version: int
    parts: Mapping[str, tuple[Row, ...]]

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for name in sorted(self.parts) for row in self.parts[name])


@final
class MemoryTables:
    """Hold the tables; safe to use from several threads."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._lock = threading.Lock()
        self._changes = 0

    def names(self) -> tuple[str, ...]:
        """Return the names of all tables, sorted."""
        return tuple(sorted(self._tables))

    def drop(self, name: str) -> None:
        """Forget a table; an unknown one is fine."""
        with self._lock:
            self._tables.pop(name, None)

    def table(self, name: str) -> _Table:
        """Return a table.

        Raises:
            InputNotFoundError: there is none of that name.
        """
        try:
            return self._tables[name]
        except KeyError as cause:
            raise InputNotFoundError(
                "no such table in memory",
                got=name,
                fix=suggest(name, self.names()) or f"write it: open_sink('memory://{name}')",
            ) from cause

    def part(self, name: str, part: str) -> tuple[Row, ...] | None:
        """Return the rows of one part, or None."""
        table = self._tables.get(name)
        return None if table is None else table.parts.get(part)

    def put(self, name: str, rows: Sequence[Row]) -> None:
        """Make these the rows of a table."""
        with self._lock:
            self._set(name, {"": tuple(rows)})

    def add_part(self, name: str, part: str, rows: Sequence[Row]) -> bool:
        """Add a part that is not there; return whether it was added."""
        with self._lock:
            table = self._tables.get(name)
            parts = {} if table is None else table.parts
            if part in parts:
                return False
            self._set(name, {**parts, part: tuple(rows)})
            return True

    def _set(self, name: str, parts: Mapping[str, tuple[Row, ...]]) -> None:
        self._changes += 1
        self._tables[name] = _Table(version=self._changes, parts=parts)


MEMORY: Final = MemoryTables()
"""The tables of this process."""


@final
class MemorySource:
    """Read a table of `MEMORY` as it is at each reading. A position counts rows."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._url = url

    def describe(self) -> Description:
        """Say what is there now."""
        table = MEMORY.table(self._name)
        rows = table.rows
        return Description(
            url=self._url,
            columns=columns_of(rows),
            fingerprint={self._name: f"version={table.version}"},
            rows=len(rows),
        )

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Yield shards of `rows` rows."""
        if rows < 1:
            raise InvalidParameterError("a shard has at least one row", got=rows, fix="rows=1000")
        count = len(MEMORY.table(self._name).rows)
        for index, start in enumerate(range(0, max(count, 1), rows)):
            stop = min(start + rows, count)
            yield Shard(index=index, start=str(start), stop=str(stop), rows=stop - start)

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield rows of what is there at the start of the reading."""
        rows = MEMORY.table(self._name).rows
        begin = shard.start if shard is not None and resume_from is None else resume_from
        start = 0 if begin is None else self._index(begin, len(rows))
        end = None if shard is None else shard.stop
        stop = len(rows) if end is None else self._index(end, len(rows))
        for number in range(start, stop):
            key = f"{self._name}:{number + 1}"
            yield Record(key=key, position=str(number + 1), values=rows[number])

    def close(self) -> None:
        """Do nothing."""

    def _index(self, position: Position, count: int) -> int:
        if not position.isdecimal() or int(position) > count:
            raise SourceChangedError(
                "the source is not what this position was made for",
                got=f"position {position!r} of {self._url}, which has {count} rows",
                fix="read from the beginning",
            )
        return int(position)


@final
class MemorySink:
    """Write a table of `MEMORY`, or one part of it."""

    def __init__(self, name: str, part: str | None, url: str) -> None:
        self._name = name
        self._part = part
        self._url = url
        self._rows: list[Row] | None = []
        self._receipt: Receipt | None = None

    def committed(self) -> Receipt | None:
        """Return what is there of this part."""
        if self._receipt is None and self._part is not None:
            rows = MEMORY.part(self._name, self._part)
            return None if rows is None else Receipt(url=self._url, rows=len(rows))
        return self._receipt

    def write(self, rows: Sequence[Row]) -> None:
        """Keep rows until `commit`."""
        kept = self._current()
        kept.extend([deepcopy(checked_row(row, n)) for n, row in enumerate(rows, len(kept) + 1)])

    def commit(self) -> Receipt:
        """Show the rows."""
        if self._receipt is not None:
            return self._receipt
        rows = self._current()
        if self._part is None:
            MEMORY.put(self._name, rows)
        elif not MEMORY.add_part(self._name, self._part, rows):
            raise SinkConflictError(
                "another attempt at this part was committed before",
                got=self._url,
                fix="take what is there: `committed()` describes it",
            )
        self._receipt, self._rows = Receipt(url=self._url, rows=len(rows)), None
        return self._receipt

    def abort(self) -> None:
        """Forget the rows."""
        self._rows = None

    def _current(self) -> list[Row]:
        if self._rows is None:
            raise SinkConflictError(
                "the sink was committed or aborted before", got=self._url, fix="open another one"
            )
        return self._rows


def open_memory(location: Location) -> MemorySource:
    """Open a table to read; errors as `MemoryTables.table`."""
    location.check_options()
    MEMORY.table(location.path)
    return MemorySource(location.path, location.url)


def open_memory_sink(location: Location, part: Part | None) -> MemorySink:
    """Open a table, or one part of it, to write."""
    location.check_options()
    name = None if part is None else f"{part.job}-{part.shard:06d}"
    return MemorySink(location.path, name, location.url)
