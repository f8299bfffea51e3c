"""Rows of files one after another, whatever their format and wherever they lie.

Owns `FileSource`. A position is the number of a file and a spot in it. The files are those that
were found when the source was opened, as they were then: one that changed is refused, also while it
is read. A shard is sealed with the versions of its files, so that a source that was opened later,
when they were others, refuses it. Rows are read as they are taken.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, final

from openautoglm.data.columns import columns_of
from openautoglm.data.formats.format import START, Spot
from openautoglm.data.seal import seal_of, sealed, unsealed
from openautoglm.data.source import Description, Record, Shard
from openautoglm.errors import InvalidParameterError, OpenAutoGLMError, SourceChangedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.data.formats.format import Format, Item, RowFile
    from openautoglm.data.source import Column, Position
    from openautoglm.data.transports.files import Files, Stored

SAMPLE_ROWS: Final = 100
MOST_COUNTED: Final = 100
"""Files that are opened to say how many rows there are; of more, that is not known."""
MOST_NAMED: Final = 3
POSITION: Final = re.compile(r"(\d{1,18}):(\d{1,18}):(\d{1,18})", re.ASCII)


class _Place(NamedTuple):
    file: int
    spot: Spot

    def __str__(self) -> str:
        return f"{self.file}:{self.spot.at}:{self.spot.behind}"


_BEGINNING: Final = _Place(0, START)


@final
class FileSource:
    """Read files, in the order given. Use it through `open_source`."""

    def __init__(self, files: Files, found: Sequence[Stored], form: Format, *, url: str) -> None:
        self._files = files
        self._found = tuple(found)
        self._format = form
        self._url = url

    def describe(self) -> Description:
        """Say what the files say of themselves, or the first rows."""
        columns, is_all = self._columns()
        sizes = [stored.size for stored in self._found]
        return Description(
            url=self._url,
            columns=columns,
            fingerprint={stored.name: stored.version for stored in self._found},
            rows=self._rows(),
            size_bytes=sum(size or 0 for size in sizes) if None not in sizes else None,
            is_sampled=not is_all,
        )

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Yield shards of `rows` rows, or of about so many where the format has blocks of rows.

        Raises:
            InvalidParameterError: `rows` is less than one.
        """
        if rows < 1:
            raise InvalidParameterError("a shard has at least one row", got=rows, fix="rows=1000")
        index, count, start, end = 0, 0, _BEGINNING, _BEGINNING
        for place, fresh in self._ends(rows):
            if count and count + fresh > rows:
                yield self._shard(index, start, end, count)
                index, count, start = index + 1, 0, end
            end, count = place, count + fresh
            if count >= rows:
                yield self._shard(index, start, end, count)
                index, count, start = index + 1, 0, end
        if count or not index:
            yield self._shard(index, start, end, count)

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield the rows of a shard or of all files."""
        begin = shard.start if shard is not None and resume_from is None else resume_from
        start = _BEGINNING if begin is None else self._place(begin)
        stop = None if shard is None else self._stop(shard)
        if stop is not None and start >= stop:
            self._check(start)
            return
        for number, item in self._items(start, stop):
            place = _Place(number, item.end)
            key = f"{self._found[number].name}:{item.number}"
            if item.values is None:
                yield Record(key=key, position=str(place), error=item.error)
            else:
                yield Record(key=key, position=str(place), values=item.values)
            if stop is not None and place >= stop:
                self._files.check(self._found[number])
                return

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def _items(self, start: _Place, stop: _Place | None) -> Iterator[tuple[int, Item]]:
        """Yield the rows behind a place on through all later files."""
        last = len(self._found) - 1 if stop is None else stop.file
        for number in range(start.file, last + 1):
            with self._opened(number) as file:
                for place in (stop, start):  # what is behind the start is wanted next
                    if place is not None and place.file == number and not file.has(place.spot):
                        raise self._moved(str(place))
                begin = start.spot if number == start.file else START
                for item in file.items(begin):
                    yield number, item
                self._files.check(self._found[number])

    def _ends(self, rows: int) -> Iterator[tuple[_Place, int]]:
        for number in range(len(self._found)):
            with self._opened(number) as file:
                for spot, fresh in file.ends(rows):
                    yield _Place(number, spot), fresh

    def _columns(self) -> tuple[tuple[Column, ...], bool]:
        """Return the columns, and whether no row has others."""
        with self._opened(0) as file:
            columns = file.columns
        if columns:
            return columns, len(self._found) == 1
        rows = (record.values for record in self.read() if record.error is None)
        return columns_of(islice(rows, SAMPLE_ROWS)), False

    def _rows(self) -> int | None:
        """Return how many rows there are where all files say it."""
        total = 0
        for number in range(len(self._found)) if len(self._found) <= MOST_COUNTED else ():
            with self._opened(number) as file:
                if file.rows is None:
                    return None
                total += file.rows
        return total if len(self._found) <= MOST_COUNTED else None

    @contextmanager
    def _opened(self, number: int) -> Iterator[RowFile]:
        """Open a file; what fails while it is read is said in the transport's words."""
        stored = self._found[number]
        try:
            with self._files.open(stored) as file:
                yield self._format.opened(file, stored)
        except OpenAutoGLMError:
            raise
        except OSError as cause:
            raise self._files.refusal(stored.path, cause) from cause

    def _shard(self, index: int, start: _Place, stop: _Place, rows: int) -> Shard:
        end = sealed(str(stop), self._seal(start, stop))
        return Shard(index=index, start=str(start), stop=end, rows=rows)

    def _seal(self, start: _Place, stop: _Place) -> str:
        """Return what tells the files of a shard from others."""
        files = self._found[start.file : stop.file + 1]
        return seal_of(f"{stored.name}\0{stored.version}" for stored in files)

    def _stop(self, shard: Shard) -> _Place | None:
        """Return where a shard ends, of files that are what they were when it was made."""
        if shard.stop is None:
            return None
        end, seal = unsealed(shard.stop)
        stop = self._place(end)
        start = _BEGINNING if shard.start is None else self._place(shard.start)
        if seal not in {"", self._seal(start, stop)}:
            files = self._found[start.file : stop.file + 1]
            now = ", ".join(f"{stored.name} {stored.version}" for stored in files[:MOST_NAMED])
            raise SourceChangedError(
                "files were changed, added or taken away since the shards were made",
                got=f"shard {shard.index} of {self._url}; it would be of {now}",
                fix="bring back the files as they were, or begin anew",
            )
        return stop

    def _place(self, position: Position) -> _Place:
        found = POSITION.fullmatch(position)
        if found is None or int(found[1]) >= len(self._found):
            raise self._moved(position)
        return _Place(int(found[1]), Spot(int(found[2]), int(found[3])))

    def _check(self, place: _Place) -> None:
        with self._opened(place.file) as file:
            if not file.has(place.spot):
                raise self._moved(str(place))

    def _moved(self, position: Position) -> SourceChangedError:
        return SourceChangedError(
            "the source is not what this position was made for",
            got=f"position {position!r} of {self._url}: no row ends there",
            fix="read from the beginning, or bring back the files as they were",
        )
