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

    _Spec = tuple[str, Mapping[str, object]]  # a name of its own, and the location

MOST_OPEN: Final = 64
"""Sources kept; the one not used for longest is let go, readings of it end in peace."""
MOST_RECEIPTS: Final = 256
"""Receipts kept, for a `commit` whose answer did not arrive and that is asked again."""
BLOCK_ROWS: Final = 64
BLOCK_S: Final = 0.05
"""Rows travel together: so many, or those of so many seconds."""


@final
class SourceServant:
    """Serves the sources that one kind of source has open in this worker.

    A call names the source and says where it is, so that a worker started again serves on.
    """

    def __init__(self, adopted: SourceOpener) -> None:
        self._opener = adopted
        self._open: OrderedDict[str, Source] = OrderedDict()
        self._lock = threading.RLock()

    def open(self, spec: _Spec) -> None:
        """Open a source, or say why it cannot be."""
        self._source(spec)

    def describe(self, spec: _Spec) -> object:
        """Describe a source."""
        return msgspec.to_builtins(self._source(spec).describe())

    def shards(self, spec: _Spec, rows: int) -> Iterator[object]:
        """Yield shards."""
        for shard in self._source(spec).shards(rows=rows):
            yield msgspec.to_builtins(shard)

    def read(
        self, spec: _Spec, shard: Mapping[str, object] | None, resume_from: Position | None
    ) -> Iterator[list[object]]:
        """Yield records, some at a time."""
        asked = None if shard is None else msgspec.convert(shard, Shard)
        block: list[object] = []
        began_s = time.monotonic()
        for record in self._source(spec).read(asked, resume_from=resume_from):
            block.append(_plain(record))
            if len(block) == BLOCK_ROWS or time.monotonic() - began_s > BLOCK_S:
                yield block
                block, began_s = [], time.monotonic()
        if block:
            yield block

    def release(self, spec: _Spec) -> None:
        """Close a source."""
        with self._lock:
            source = self._open.pop(spec[0], None)
        if source is not None:
            source.close()

    def close(self) -> None:
        """Close all sources."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _source(self, spec: _Spec) -> Source:
        name, location = spec
        with self._lock:
            if name not in self._open:
                self._open[name] = self._opener(msgspec.convert(location, Location))
            self._open.move_to_end(name)
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
            return self._open[name]


@final
class SinkServant:
    """Serves the sinks that one kind of sink has open in this worker, by handle.

    A handle is drawn, so that one of a worker that died means nothing to the next.
    """

    def __init__(self, adopted: SinkOpener) -> None:
        self._opener = adopted
        self._open: dict[str, Sink] = {}
        self._receipts: OrderedDict[str, object] = OrderedDict()

    def open(self, location: Mapping[str, object], part: Mapping[str, object] | None) -> str:
        """Open a sink and return its handle."""
        handle = secrets.token_hex(8)
        place = None if part is None else msgspec.convert(part, Part)
        self._open[handle] = self._opener(msgspec.convert(location, Location), place)
        return handle

    def committed(self, handle: str) -> object:
        """Return what was committed of the sink's part."""
        if handle in self._receipts:
            return self._receipts[handle]
        return msgspec.to_builtins(self._sink(handle).committed())

    def write(self, handle: str, rows: Sequence[Row]) -> None:
        """Write rows."""
        self._sink(handle).write(rows)

    def commit(self, handle: str) -> object:
        """Commit, or return the receipt again."""
        if handle not in self._receipts:
            self._receipts[handle] = msgspec.to_builtins(self._sink(handle).commit())
            self._open.pop(handle, None)
            if len(self._receipts) > MOST_RECEIPTS:
                self._receipts.popitem(last=False)
        return self._receipts[handle]

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


def _plain(record: Record) -> object:
    error = record.error
    failure = None if error is None else [error.problem, _text(error.got), error.fix]
    return [record.key, record.position, cast("object", dict(record.values)), failure]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
