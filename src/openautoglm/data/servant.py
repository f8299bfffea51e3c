"""The worker's side of sources and sinks: they answer in plain values.

Knows nothing of processes or of plugins.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, cast, final

import msgspec

from openautoglm.data.location import Location
from openautoglm.data.sink import Part
from openautoglm.data.source import Shard
from openautoglm.errors import SinkConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.data.sink import Sink, SinkOpener
    from openautoglm.data.source import Position, Record, Row, Source, SourceOpener

MOST_OPEN: Final = 16
"""Sources kept; the one not used for longest is let go, readings of it end in peace."""
BLOCK_ROWS: Final = 64
BLOCK_S: Final = 0.05
"""Rows travel together: so many, or those of so many seconds."""


@final
class SourceServant:
    """Serves the sources that one kind of source has open in this worker."""

    def __init__(self, adopted: SourceOpener) -> None:
        self._opener = adopted
        self._open: OrderedDict[bytes, Source] = OrderedDict()
        self._lock = threading.RLock()

    def open(self, location: Mapping[str, object]) -> None:
        """Open a source, or say why it cannot be."""
        self._source(location)

    def describe(self, location: Mapping[str, object]) -> object:
        """Describe a source."""
        return msgspec.to_builtins(self._source(location).describe())

    def shards(self, location: Mapping[str, object], rows: int) -> Iterator[object]:
        """Yield shards."""
        for shard in self._source(location).shards(rows=rows):
            yield msgspec.to_builtins(shard)

    def read(
        self,
        location: Mapping[str, object],
        shard: Mapping[str, object] | None,
        resume_from: Position | None,
    ) -> Iterator[list[object]]:
        """Yield records, some at a time."""
        asked = None if shard is None else msgspec.convert(shard, Shard)
        block: list[object] = []
        began_s = time.monotonic()
        for record in self._source(location).read(asked, resume_from=resume_from):
            block.append(_plain(record))
            if len(block) == BLOCK_ROWS or time.monotonic() - began_s > BLOCK_S:
                yield block
                block, began_s = [], time.monotonic()
        if block:
            yield block

    def release(self, location: Mapping[str, object]) -> None:
        """Close a source."""
        with self._lock:
            source = self._open.pop(_key(location), None)
        if source is not None:
            source.close()

    def close(self) -> None:
        """Close all sources."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _source(self, location: Mapping[str, object]) -> Source:
        key = _key(location)
        with self._lock:
            if key not in self._open:
                self._open[key] = self._opener(msgspec.convert(location, Location))
            self._open.move_to_end(key)
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
            return self._open[key]


@final
class SinkServant:
    """Serves the sinks that one kind of sink has open in this worker, by handle.

    A handle is drawn, so that one of a worker that died means nothing to the next.
    """

    def __init__(self, adopted: SinkOpener) -> None:
        self._opener = adopted
        self._open: dict[str, Sink] = {}

    def open(self, location: Mapping[str, object], part: Mapping[str, object] | None) -> str:
        """Open a sink and return its handle."""
        handle = secrets.token_hex(8)
        place = None if part is None else msgspec.convert(part, Part)
        self._open[handle] = self._opener(msgspec.convert(location, Location), place)
        return handle

    def committed(self, handle: str) -> object:
        """Return what was committed of the sink's part."""
        return msgspec.to_builtins(self._sink(handle).committed())

    def write(self, handle: str, rows: Sequence[Row]) -> None:
        """Write rows."""
        self._sink(handle).write(rows)

    def commit(self, handle: str) -> object:
        """Commit, and forget the handle."""
        receipt = msgspec.to_builtins(self._sink(handle).commit())
        self._open.pop(handle, None)
        return receipt

    def abort(self, handle: str) -> None:
        """Abort; what this worker does not know was aborted with its own."""
        sink = self._open.pop(handle, None)
        if sink is not None:
            sink.abort()

    def close(self) -> None:
        """Abort what is not committed."""
        while self._open:
            self._open.popitem()[1].abort()

    def _sink(self, handle: str) -> Sink:
        if handle not in self._open:
            raise SinkConflictError(
                "the worker that took these rows is gone, and they with it",
                fix="open the part again; `committed` tells whether it was committed",
            )
        return self._open[handle]


def _key(location: Mapping[str, object]) -> bytes:
    return msgspec.msgpack.encode(location)


def _plain(record: Record) -> object:
    error = record.error
    failure = None if error is None else [error.problem, _text(error.got), error.fix]
    return [record.key, record.position, cast("object", dict(record.values)), failure]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
