"""Rows to Parquet: the columns of all of them with types that hold them all, then the rows.

Owns `ParquetWriter`. A column whose values have no type in common is written as texts of JSON, with
a mark that has `ParquetFormat` read them as what they were. A column that a row lacks is null, and
so is a field that an object lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.data.formats.arrow import array_of, arrow, field_of
from openautoglm.data.formats.row_spool import RowSpool
from openautoglm.data.formats.shapes import joined, shape_of
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.data.formats.shapes import Shape
    from openautoglm.data.source import Row

PACKING: Final = "zstd"


@final
class ParquetWriter:
    """Writes a row group for every block of rows."""

    def __init__(self, file: BinaryIO, folder: str | None) -> None:
        self._file = file
        self._spool = RowSpool(folder)
        self._shapes: dict[str, Shape] = {}

    @property
    def size_bytes(self) -> int:
        """How many bytes the rows have as JSON."""
        return self._spool.size_bytes

    def add(self, rows: Sequence[Row]) -> None:
        """Keep rows and the shapes of their values."""
        self._spool.add(rows)
        for row in rows:
            for name, value in row.items():
                self._shapes[name] = joined(self._shapes.get(name, "null"), shape_of(value))

    def finish(self) -> None:
        """Write the schema, then the rows."""
        pa = arrow()
        parquet = need("pyarrow.parquet", extra="data", why="writing Parquet files")
        schema = pa.schema([field_of(name, shape) for name, shape in self._shapes.items()])
        with parquet.ParquetWriter(self._file, schema, compression=PACKING) as writer:
            for block in self._spool.blocks():
                columns = [array_of(f, [row.get(f.name) for row in block]) for f in schema]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))

    def close(self) -> None:
        """Let the rows go."""
        self._spool.close()
