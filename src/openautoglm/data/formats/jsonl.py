"""JSON Lines: one object a line, read from any line on.

Owns the format `jsonl`: a spot is a byte offset and a line number. Blank lines are skipped and
counted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO, Final, final

import msgspec

from openautoglm.data.columns import checked_row
from openautoglm.data.formats.format import START, Item
from openautoglm.data.formats.lines import MAX_ROW_BYTES, ends_line, lines_of, shown
from openautoglm.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.data.formats.format import Spot
    from openautoglm.data.formats.lines import Line
    from openautoglm.data.source import Column, Row
    from openautoglm.data.transports.files import Stored

BLOCK: Final = 1 << 20
LINE: Final = "write one JSON object in a line, as UTF-8"
OPENING: Final = {b"[": ": jq -c '.[]' FILE > NEW", b"{": ": jq -c . FILE > NEW"}
"""Lines of files that are JSON over many lines, and what makes JSON Lines of those."""
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@final
class JsonlFormat:
    """Files of JSON Lines."""

    endings = (".jsonl", ".ndjson")

    def opened(self, file: BinaryIO, stored: Stored) -> JsonlFile:
        """Read a file."""
        return JsonlFile(file, stored.name)

    def writer(self, file: BinaryIO, folder: str | None) -> JsonlWriter:
        """Write a file, line by line."""
        del folder  # nothing is on its way
        return JsonlWriter(file)

    def count(self, file: BinaryIO) -> int:
        """Count lines."""
        count = 0
        while block := file.read(BLOCK):
            count += block.count(b"\n")
        return count


@final
class JsonlFile:
    """One file; it says nothing of itself."""

    columns: tuple[Column, ...] | None = None
    rows: int | None = None

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name

    def items(self, start: Spot) -> Iterator[Item]:
        """Yield the objects of lines."""
        for line in self._lines(start):
            number = line.end.behind
            try:
                yield Item(line.end, number, _row(line, f"{self._name}:{number}"))
            except BadRowError as error:
                yield Item(line.end, number, None, error)

    def ends(self, rows: int) -> Iterator[tuple[Spot, int]]:
        """Yield the end of every line that holds something."""
        del rows  # every row may be the last of a shard
        for line in self._lines(START):
            yield line.end, 1

    def has(self, spot: Spot) -> bool:
        """Whether a line ends there; its number is believed."""
        return ends_line(self._file, spot.at)

    def _lines(self, start: Spot) -> Iterator[Line]:
        for line in lines_of(self._file, start, self._name):
            if line.is_too_long or line.content.strip():
                yield line


@final
class JsonlWriter:
    """Writes one line a row."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rows = 0
        self.size_bytes = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        lines = b"".join(line_of(row, self._rows + n) for n, row in enumerate(rows, 1))
        self.size_bytes += len(lines)
        self._file.write(lines)
        self._rows += len(rows)

    def finish(self) -> None:
        """Do nothing: every row is in the file."""

    def close(self) -> None:
        """Do nothing."""


def line_of(row: Row, number: int) -> bytes:
    """Return a row as a line of JSON.

    Raises:
        BadRowError: it cannot be written; says which.
    """
    try:
        return _ENCODER.encode(checked_row(row, number)).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as cause:
        if isinstance(cause, BadRowError):
            raise
        raise BadRowError(
            f"row {number} cannot be written as JSON: {cause}",
            got=repr(row)[:200],
            fix="rows hold texts, finite numbers, booleans, null, lists and objects",
        ) from cause


def json_of(value: object) -> str:
    """Return a value that a line was made of as JSON."""
    return _ENCODER.encode(value)


def _row(line: Line, key: str) -> Mapping[str, object]:
    if line.is_too_long:
        raise BadRowError(
            f"{key}: the line is longer than {MAX_ROW_BYTES >> 20} MiB", fix="split the row"
        )
    try:
        value = msgspec.json.decode(line.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise BadRowError(
            f"{key}: the line is not JSON: {_reason(cause)}",
            got=shown(line.content),
            fix=f"{LINE}{OPENING.get(line.content.strip(), '')}",
        ) from cause
    if not isinstance(value, dict):
        raise BadRowError(
            f"{key}: the line is JSON, but no object",
            got=shown(line.content),
            fix='write {"column": value, …}',
        )
    return value


def _reason(cause: Exception) -> str:
    return (str(cause) or type(cause).__name__).removeprefix("JSON is malformed: ")
