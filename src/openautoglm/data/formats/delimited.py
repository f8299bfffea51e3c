"""Tables as text, CSV: records of cells with quotes, also over several lines.

Owns the format `csv`: RFC 4180, the first record names the columns, other records have as many
cells. A spot is the byte offset and the line number where a record ends. What it cannot notice: a
position inside a quoted cell of a file that was exchanged for one of the same size and time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.data.formats.cells import value_of
from openautoglm.data.formats.format import START, Item
from openautoglm.data.formats.lines import ends_line
from openautoglm.data.formats.records import records_of
from openautoglm.data.source import Column
from openautoglm.errors import BadRowError, InputDecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.data.formats.delimited_writer import DelimitedWriter
    from openautoglm.data.formats.format import Spot
    from openautoglm.data.formats.records import Record
    from openautoglm.data.source import Kind, Row
    from openautoglm.data.transports.files import Stored

TAB: Final = "\t"


@final
class DelimitedFormat:
    """Files of cells.

    Args:
        delimiter: between cells; None is a comma, and a tab in files that end in `.tsv`.
        header: names of the columns where the files have no record of them.
        types: kinds of columns that are no texts.
    """

    endings = (".csv", ".tsv")

    def __init__(
        self,
        *,
        delimiter: str | None = None,
        header: Sequence[str] = (),
        types: Mapping[str, Kind] | None = None,
    ) -> None:
        self._delimiter = delimiter
        self._header = tuple(header)
        self._types = types or {}

    def opened(self, file: BinaryIO, stored: Stored) -> DelimitedFile:
        """Read a file's columns."""
        name = stored.name.lower()
        is_tabs = name.removesuffix(".gz").endswith(".tsv")
        delimiter = self._delimiter or (TAB if is_tabs else ",")
        table = DelimitedFile(file, stored.name, delimiter, self._types)
        table.begin(self._header)
        return table

    def writer(self, file: BinaryIO, folder: str | None) -> DelimitedWriter:
        """Write a file when its columns are known, which is at the end."""
        from openautoglm.data.formats.delimited_writer import DelimitedWriter

        return DelimitedWriter(file, folder, self._delimiter or ",")

    def count(self, file: BinaryIO) -> int:
        """Count the records behind the header."""
        delimiter = self._delimiter or ","
        return max(0, sum(1 for _ in records_of(file, START, "", delimiter)) - 1)


@final
class DelimitedFile:
    """One file with its columns, all of them texts where nothing else is declared."""

    rows: int | None = None

    def __init__(
        self, file: BinaryIO, name: str, delimiter: str, types: Mapping[str, Kind]
    ) -> None:
        self._file = file
        self._name = name
        self._delimiter = delimiter
        self._types = types
        self._names: tuple[str, ...] = ()
        self._kinds: tuple[Kind, ...] = ()
        self._body = START

    def begin(self, header: Sequence[str]) -> None:
        """Read the record that names the columns, unless they have names already."""
        names = list(header)
        if not names:
            for record in self._records(START):
                names, self._body = _names(record, self._name), record.end
                break
        self._names = tuple(names)
        self._kinds = tuple(self._types.get(name, "text") for name in names)
        if names:
            self._check()

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """Its columns."""
        kinds = zip(self._names, self._kinds, strict=True)
        return tuple(Column(name=n, kind=k, nullable=k != "text") for n, k in kinds)

    def items(self, start: Spot) -> Iterator[Item]:
        """Yield the rows of records."""
        for record in self._records(max(start, self._body)):
            try:
                yield Item(record.end, record.line, self._row(record))
            except BadRowError as error:
                yield Item(record.end, record.line, None, error)

    def ends(self, rows: int) -> Iterator[tuple[Spot, int]]:
        """Yield the end of every record."""
        del rows  # every row may be the last of a shard
        for record in self._records(self._body):
            yield record.end, 1

    def has(self, spot: Spot) -> bool:
        """Whether a line ends there; whether a record does is believed."""
        if spot < self._body:
            return spot == START
        return ends_line(self._file, spot.at)

    def _records(self, start: Spot) -> Iterator[Record]:
        return records_of(self._file, start, self._name, self._delimiter)

    def _row(self, record: Record) -> Row:
        key = f"{self._name}:{record.line}"
        if record.problem:
            raise BadRowError(f"{key}: {record.problem}", got=record.shown, fix=record.fix)
        if len(record.cells) != len(self._names):
            raise BadRowError(
                f"{key}: {len(record.cells)} cells, but {len(self._names)} columns",
                got=record.shown,
                fix="quote cells that hold the delimiter or a line break; see ?delimiter=",
            )
        row: dict[str, object] = {}
        for name, kind, cell in zip(self._names, self._kinds, record.cells, strict=True):
            try:
                row[name] = value_of(cell, kind)
            except ValueError as cause:
                raise BadRowError(
                    f"{key}: column `{name}` is {cause}",
                    got=cell[:80],
                    fix=f"correct the cell, or declare the column as text: ?types={name}:text",
                ) from cause
        return row

    def _check(self) -> None:
        """Refuse columns of the same name, and types of columns that are not there."""
        twice = sorted({name for name in self._names if self._names.count(name) > 1})
        if twice:
            raise InputDecodeError(
                f"`{self._name}` has the column `{twice[0]}` twice",
                got=", ".join(self._names)[:200],
                fix="rename one of them in the first line",
            )
        absent = [name for name in self._types if name not in self._names]
        if absent:
            raise InputDecodeError(
                f"`{self._name}` has no column `{absent[0]}`, which `types` names",
                got=", ".join(self._names)[:200],
                fix="take it out of ?types=, or say how cells are divided: ?delimiter=",
            )


def _names(record: Record, file: str) -> list[str]:
    if record.problem:
        raise InputDecodeError(
            f"`{file}` begins with no names of columns: {record.problem}",
            got=record.shown,
            fix=record.fix,
        )
    return list(record.cells)
