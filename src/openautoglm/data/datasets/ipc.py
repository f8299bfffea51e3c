"""Arrow's own files, streams and random-access ones alike: `IpcFormat`.

A spot is the number of a record batch and a row in it. Where batches begin is found out once for
each file; from then on a reading begins at its batch. Streams with dictionaries are read from their
beginning each time. Files are mapped, so that a batch passed over is not read.
"""

from __future__ import annotations

import io
import mmap
import threading
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, final

from openautoglm.data.datasets.media import absent_media, media_of
from openautoglm.data.formats.arrow import arrow, rows_of
from openautoglm.data.formats.blocks import Blocks, told
from openautoglm.data.formats.format import Spot
from openautoglm.errors import DataUrlError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import ModuleType

    from openautoglm.data.formats.arrow import Arrow
    from openautoglm.data.formats.format import Item, RowWriter
    from openautoglm.data.source import Column, Row
    from openautoglm.data.transports.files import Stored

MAGIC: Final = b"ARROW1"
"""Begins a file with random access; a stream begins otherwise."""
BLOCK_BYTES: Final = 8 << 20
MOST_BLOCK_ROWS: Final = 1_000
"""Rows become Python's so many at a time."""
FIX_ROW: Final = (
    "save the dataset again, with texts in UTF-8, times from year 1 to 9999 and the bytes of "
    "images and sounds"
)
FIX_FILE: Final = "copy or save the dataset again; a file that was cut off cannot be read"


class _Batch(NamedTuple):
    offset: int
    rows: int


@final
class IpcFormat:
    """Files of record batches. What was found out of files is kept."""

    endings = (".arrow",)

    def __init__(self) -> None:
        self._ipc = need("pyarrow.ipc", extra="data", why="reading datasets")
        self._batches: dict[str, tuple[_Batch, ...]] = {}
        self._lock = threading.Lock()

    def opened(self, file: BinaryIO, stored: Stored) -> IpcFile:
        """Read a file's schema, and where its batches begin unless that is known."""
        with _told(stored.name):
            if file.read(len(MAGIC)) == MAGIC:
                batches: _RandomBatches | _StreamBatches = _RandomBatches(self._ipc, _mapped(file))
            else:
                batches = _StreamBatches(self._ipc, _mapped(file))
        key = f"{stored.origin} {stored.version}"
        with self._lock:
            known = self._batches.get(key)
        if known is None:
            with _told(stored.name):
                known = batches.index()
            with self._lock:
                self._batches[key] = known
        return IpcFile(batches, known, stored.name)

    def writer(self, file: BinaryIO, folder: str | None) -> RowWriter:
        """Refuse: datasets are read only."""
        del file, folder
        raise DataUrlError("datasets are only read", fix="write Parquet, which `datasets` loads")

    def count(self, file: BinaryIO) -> int:
        """Refuse, as `writer`."""
        del file
        raise DataUrlError("datasets are only read", fix="write Parquet, which `datasets` loads")


@final
class IpcFile:
    """One file."""

    def __init__(
        self, opened: _RandomBatches | _StreamBatches, batches: tuple[_Batch, ...], name: str
    ) -> None:
        self._opened = opened
        self._batches = batches
        self._name = name
        self._blocks = Blocks(name, opened.schema, [each.rows for each in batches], fix=FIX_ROW)
        self._media = media_of(opened.schema)

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """What the schema says."""
        return self._blocks.columns

    @property
    def rows(self) -> int | None:
        """What all batches have."""
        return self._blocks.rows

    def items(self, start: Spot) -> Iterator[Item]:
        """Yield the rows of one batch after another."""
        return self._blocks.items(start, self._rows)

    def ends(self, rows: int) -> Iterator[tuple[Spot, int]]:
        """Yield ends of shards: every row may be one."""
        left = rows
        for number, batch in enumerate(self._batches):
            at = 0
            while at < batch.rows:
                step = min(left, batch.rows - at)
                at, left = at + step, left - step
                yield Spot(number, at), step
                left = left or rows

    def has(self, spot: Spot) -> bool:
        """Whether there is such a batch with so many rows."""
        return self._blocks.has(spot)

    def _rows(self, number: int, skipped: int) -> Iterator[Row | Exception]:
        with _told(self._name, f", batch {number + 1}"):
            batch = self._opened.batch(number, self._batches)
        a_row = max(1, batch.nbytes // batch.num_rows)
        step = min(MOST_BLOCK_ROWS, max(1, BLOCK_BYTES // a_row))
        for first in range(skipped, batch.num_rows, step):
            for row in rows_of(batch.slice(first, step)):
                absent = None if isinstance(row, Exception) else absent_media(row, self._media)
                yield row if absent is None else ValueError(absent)


@final
class _RandomBatches:
    """Batches of a file that says where each of them is."""

    def __init__(self, ipc: ModuleType, source: Arrow) -> None:
        self._reader: Arrow = ipc.open_file(source)
        self.schema: Arrow = self._reader.schema

    def index(self) -> tuple[_Batch, ...]:
        count = self._reader.num_record_batches
        return tuple(_Batch(n, self._reader.get_batch(n).num_rows) for n in range(count))

    def batch(self, number: int, known: tuple[_Batch, ...]) -> Arrow:
        del known
        return self._reader.get_batch(number)


@final
class _StreamBatches:
    """Batches of a stream, which has to be walked through once."""

    def __init__(self, ipc: ModuleType, source: Arrow) -> None:
        self._ipc = ipc
        self._source = source
        self._begin()
        self.schema: Arrow = self._reader.schema
        self._can_jump = "dictionary<" not in str(self.schema)

    def index(self) -> tuple[_Batch, ...]:
        self._begin()
        found = []
        while True:
            offset = self._source.tell()
            try:
                found.append(_Batch(offset, self._reader.read_next_batch().num_rows))
            except StopIteration:
                self._begin()  # a reader that came to the end reads no more
                return tuple(found)

    def batch(self, number: int, known: tuple[_Batch, ...]) -> Arrow:
        if self._can_jump:
            self._source.seek(known[number].offset)
            return self._reader.read_next_batch()
        if number < self._next:
            self._begin()
        while self._next < number:
            self._reader.read_next_batch()
            self._next += 1
        self._next += 1
        return self._reader.read_next_batch()

    def _begin(self) -> None:
        self._source.seek(0)
        self._reader: Arrow = self._ipc.open_stream(self._source)
        self._next = 0


def _mapped(file: BinaryIO) -> Arrow:
    """Return a file for Arrow to read, mapped into memory where it is one of this machine."""
    file.seek(0)
    try:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError, io.UnsupportedOperation):
        return arrow().PythonFile(file, mode="r")
    return arrow().BufferReader(arrow().py_buffer(content))


def _told(name: str, where: str = "") -> AbstractContextManager[None]:
    return told(f"`{name}` is no whole file of Arrow's{where}", FIX_FILE)
