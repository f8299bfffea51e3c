"""Parquet: blocks of rows by column, read from any row on.

Owns the format `parquet`: a spot is the number of a row group and a row in it. Shards end where row
groups do, as far as those are small enough. A row group is decoded from its beginning, so that
files whose row groups are about as large as shards are read fastest.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.data.formats.arrow import rows_of
from openautoglm.data.formats.blocks import Blocks, told
from openautoglm.data.formats.format import Spot
from openautoglm.data.transports.ranged import is_far
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from openautoglm.data.formats.arrow import Arrow
    from openautoglm.data.formats.format import Item
    from openautoglm.data.formats.parquet_writer import ParquetWriter
    from openautoglm.data.source import Column, Row
    from openautoglm.data.transports.files import Stored

BATCH_BYTES: Final = 8 << 20
MOST_BATCH_ROWS: Final = 4096
BUFFER: Final = 1 << 20
MOST_FOOTERS: Final = 64
FIX_ROW: Final = "write the file again, with texts in UTF-8 and times from year 1 to 9999"
FIX_FILE: Final = "copy the file again; one that was not written to its end cannot be read"
WHY: Final = "reading and writing Parquet files"


@final
class ParquetFormat:
    """Files of row groups. Footers that were read are kept, some of them."""

    endings = (".parquet", ".pq")

    def __init__(self) -> None:
        self._parquet = need("pyarrow.parquet", extra="data", why=WHY)
        self._footers: dict[str, Arrow] = {}
        self._lock = threading.Lock()

    def opened(self, file: BinaryIO, stored: Stored) -> ParquetFile:
        """Read a file's footer, unless it is known."""
        key = f"{stored.origin} {stored.version}"
        footer = self._footers.get(key)
        with _told(stored.name):
            opened = self._parquet.ParquetFile(
                file, metadata=footer, pre_buffer=is_far(file), buffer_size=BUFFER
            )
        if footer is None:
            self._keep(key, opened.metadata)
        return ParquetFile(opened, stored.name)

    def writer(self, file: BinaryIO, folder: str | None) -> ParquetWriter:
        """Write a file when its columns are known, which is at the end."""
        from openautoglm.data.formats.parquet_writer import ParquetWriter

        return ParquetWriter(file, folder)

    def count(self, file: BinaryIO) -> int:
        """Return what the footer says."""
        with _told("the part"):
            return int(self._parquet.ParquetFile(file).metadata.num_rows)

    def _keep(self, key: str, footer: Arrow) -> None:
        with self._lock:
            self._footers[key] = footer
            while len(self._footers) > MOST_FOOTERS:
                del self._footers[next(iter(self._footers))]


@final
class ParquetFile:
    """One file."""

    def __init__(self, opened: Arrow, name: str) -> None:
        self._opened = opened
        self._name = name
        footer = opened.metadata
        counts = [footer.row_group(n).num_rows for n in range(footer.num_row_groups)]
        self._groups = Blocks(name, opened.schema_arrow, counts, fix=FIX_ROW)

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """What the schema says."""
        return self._groups.columns

    @property
    def rows(self) -> int | None:
        """What the footer says."""
        return self._groups.rows

    def items(self, start: Spot) -> Iterator[Item]:
        """Yield rows, of one row group after another."""
        return self._groups.items(start, self._rows)

    def ends(self, rows: int) -> Iterator[tuple[Spot, int]]:
        """Yield the ends of row groups, of large ones the ends of equal pieces."""
        for group, count in enumerate(self._groups.counts):
            pieces = max(1, round(count / rows))
            cuts = sorted({piece * count // pieces for piece in range(pieces + 1)})
            for begin, end in pairwise(cuts):
                yield Spot(group, end), end - begin

    def has(self, spot: Spot) -> bool:
        """Whether there is such a row group with so many rows."""
        return self._groups.has(spot)

    def _rows(self, group: int, skipped: int) -> Iterator[Row | Exception]:
        size = self._opened.metadata.row_group(group).total_byte_size
        a_row = max(1, size // self._groups.counts[group])
        batches = self._opened.iter_batches(
            batch_size=min(MOST_BATCH_ROWS, max(1, BATCH_BYTES // a_row)),
            row_groups=[group],
            use_threads=False,
        )
        for batch in self._batches(batches, group):
            if skipped < batch.num_rows:
                yield from rows_of(batch.slice(skipped))
            skipped = max(0, skipped - batch.num_rows)

    def _batches(self, batches: Iterator[Arrow], group: int) -> Iterator[Arrow]:
        while True:
            with _told(self._name, f", row group {group}"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def _told(name: str, where: str = "") -> AbstractContextManager[None]:
    return told(f"`{name}` is no whole Parquet file{where}", FIX_FILE)
