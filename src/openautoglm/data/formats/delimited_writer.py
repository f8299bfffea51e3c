"""Rows to a table of text: the columns of all of them, then each with all columns.

Owns `DelimitedWriter`. Columns stand in the order in which they first appear; a cell is empty where
a row lacks one. Lists and objects are written as JSON.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, BinaryIO, final

from openautoglm.data.formats.cells import text_of
from openautoglm.data.formats.row_spool import RowSpool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.data.source import Row


@final
class DelimitedWriter:
    """Writes records that end as RFC 4180 says."""

    def __init__(self, file: BinaryIO, folder: str | None, delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._spool = RowSpool(folder)
        self._columns: dict[str, None] = {}

    @property
    def size_bytes(self) -> int:
        """How many bytes the rows have as JSON."""
        return self._spool.size_bytes

    def add(self, rows: Sequence[Row]) -> None:
        """Keep rows and the names of their columns."""
        self._spool.add(rows)
        for row in rows:
            self._columns.update(dict.fromkeys(row))

    def finish(self) -> None:
        """Write the names, then the rows."""
        text = io.TextIOWrapper(self._file, encoding="utf-8", newline="", write_through=True)
        try:
            records = csv.writer(text, delimiter=self._delimiter)
            if self._columns:
                records.writerow(self._columns)
            for block in self._spool.blocks():
                records.writerows([text_of(row.get(n)) for n in self._columns] for row in block)
        finally:
            text.detach()

    def close(self) -> None:
        """Let the rows go."""
        self._spool.close()
