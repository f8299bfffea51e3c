"""Records of a table of text: which lines belong to one, and its cells.

Owns what happens to a damaged record. One that cannot be taken apart is skipped up to the line
where that shows; one whose quote never ends is skipped by one line, so that the lines behind it are
not lost.
"""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, final

from openautoglm.data.formats.lines import MAX_ROW_BYTES, lines_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.data.formats.format import Spot
    from openautoglm.data.formats.lines import Line

MEBIBYTE: Final = 1 << 20


class Record(NamedTuple):
    """One record.

    Attributes:
        cells: empty where there is a problem.
        line: the number of its first line.
        end: behind its last line.
        shown: the beginning of it, for messages.
        problem: why it has no cells; empty where it has.
        fix: what to do about the problem.
    """

    cells: tuple[str, ...]
    line: int
    end: Spot
    shown: str
    problem: str = ""
    fix: str = ""


class _Endless(Exception):  # noqa: N818 - never leaves this module
    """A record goes on and on."""


@final
class _Lines:
    """Gives lines to a `csv.reader`, and knows which it took since the last record."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._size = 0
        self.taken: list[Line] = []
        self.is_broken = False
        self.is_ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._again:
            line = self._again.popleft()
        else:
            found = next(self._lines, None)
            if found is None:
                self.is_ended = True
                raise StopIteration
            line = found
        self.taken.append(line)
        self._size += len(line.content)
        if line.is_too_long or self._size > MAX_ROW_BYTES:
            raise _Endless
        try:
            return line.content.decode()
        except UnicodeDecodeError:
            self.is_broken = True
            return line.content.decode(errors="replace")

    def begin(self) -> None:
        """Forget the lines of the record before."""
        self.taken.clear()
        self._size, self.is_broken, self.is_ended = 0, False, False

    def put_back(self) -> None:
        """Give all but the first line again."""
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def records_of(file: BinaryIO, start: Spot, name: str, delimiter: str) -> Iterator[Record]:
    """Yield the records behind a spot where one ends; blank lines are none."""
    lines = _Lines(lines_of(file, start, name))
    _allow_long_cells()
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        try:
            cells = next(reader, None)
        except (csv.Error, _Endless) as cause:
            yield _damaged(lines, cause)
            continue
        if cells is None:
            return
        if not cells:
            continue
        if lines.is_broken:
            problem = "the record is not UTF-8"
            yield _record(lines, (), problem, "write the file as UTF-8, with iconv for example")
        else:
            yield _record(lines, tuple(cells))


def _damaged(lines: _Lines, cause: Exception) -> Record:
    """Return the record that could not be read, and have what is behind it read again."""
    if lines.is_ended:
        lines.put_back()
        return _record(lines, (), "a quote begins and never ends", 'write quotes in cells as ""')
    if isinstance(cause, _Endless):
        lines.put_back()
        problem = f"the record is longer than {MAX_ROW_BYTES // MEBIBYTE} MiB"
        return _record(lines, (), problem, "end the quote, or divide the row")
    if "new-line" in str(cause):
        problem = "a carriage return stands in a cell without quotes"
        return _record(lines, (), problem, "end lines with a line feed, or quote the cell")
    return _record(lines, (), f"the record is no CSV: {cause}", 'write quotes in cells as ""')


def _record(lines: _Lines, cells: tuple[str, ...], problem: str = "", fix: str = "") -> Record:
    first, last = lines.taken[0], lines.taken[-1]
    number = first.end.behind
    return Record(cells, number, last.end, shown(first.content), problem, fix)


def _allow_long_cells() -> None:
    """Let cells be as long as rows; the limit is one for the whole process, and only raised."""
    if csv.field_size_limit() < MAX_ROW_BYTES:
        csv.field_size_limit(MAX_ROW_BYTES)
