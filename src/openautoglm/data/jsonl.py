"""Rows from JSON Lines: one object a line, read from any byte offset on.

Owns the source of kind `jsonl`: a file, a folder of them, or a pattern such as `day-*.jsonl`. A
position is the number of a file, a byte offset and a line number. What it does not notice: a file
that is changed in place, to the same size and within the file system's clock, between two readings.
"""

from __future__ import annotations

import glob
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, final

import msgspec

from openautoglm.data.columns import columns_of
from openautoglm.data.source import Description, Record, Shard
from openautoglm.errors import (
    BadRowError,
    DataUrlError,
    InvalidParameterError,
    SourceChangedError,
)
from openautoglm.platform_io.refusals import not_found, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.data.location import Location
    from openautoglm.data.source import Position

MAX_LINE_BYTES: Final = 64 << 20
SAMPLE_ROWS: Final = 100
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
POSITION: Final = re.compile(r"(\d+):(\d+):(\d+)", re.ASCII)
TRANSPORTS: Final = ("file", "jsonl")


class _Place(NamedTuple):
    """Right behind a line: which file, how many bytes and how many lines of it are behind."""

    file: int
    offset: int
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.offset}:{self.line}"


_START: Final = _Place(0, 0, 0)


class _Line(NamedTuple):
    content: bytes
    end: _Place
    is_too_long: bool


@final
class JsonlSource:
    """Read JSON Lines files one after another, in the order given.

    Blank lines are skipped and counted. Use it through `open_source`.
    """

    def __init__(self, paths: Sequence[Path], *, url: str) -> None:
        self._paths = tuple(paths)
        self._url = url

    def describe(self) -> Description:
        """Say what the first rows hold and how large the files are."""
        sizes = [_stat(path) for path in self._paths]
        rows = (record.values for record in self.read() if record.error is None)
        return Description(
            url=self._url,
            columns=columns_of(islice(rows, SAMPLE_ROWS)),
            fingerprint={
                path.name: f"size={size} modified={modified_ns}"
                for path, (size, modified_ns) in zip(self._paths, sizes, strict=True)
            },
            size_bytes=sum(size for size, _ in sizes),
            is_sampled=True,
        )

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Yield shards of `rows` rows; the last one may have fewer.

        Raises:
            InvalidParameterError: `rows` is less than one.
        """
        if rows < 1:
            raise InvalidParameterError("a shard has at least one row", got=rows, fix="rows=1000")
        index, count, start = 0, 0, _START
        end = start
        for line in self._lines(_START):
            end, count = line.end, count + 1
            if count == rows:
                yield Shard(index=index, start=str(start), stop=str(end), rows=count)
                index, count, start = index + 1, 0, end
        if count or not index:
            yield Shard(index=index, start=str(start), stop=str(end), rows=count)

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield the rows of a shard or of all files."""
        begin = shard.start if shard is not None and resume_from is None else resume_from
        start = _START if begin is None else self._place(begin)
        end = None if shard is None else shard.stop
        stop = None if end is None else self._place(end)
        if stop is not None and start >= stop:
            return
        for line in self._lines(start):
            yield self._record(line)
            if stop is not None and line.end >= stop:
                return

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def _record(self, line: _Line) -> Record:
        key = f"{self._paths[line.end.file].name}:{line.end.line}"
        position = str(line.end)
        try:
            return Record(key=key, position=position, values=_row(line, key))
        except BadRowError as error:
            return Record(key=key, position=position, error=error)

    def _lines(self, start: _Place) -> Iterator[_Line]:
        """Yield the lines that hold something, from a place on through all later files."""
        for number in range(start.file, len(self._paths)):
            path = self._paths[number]
            begin = start if number == start.file else _Place(number, 0, 0)
            try:
                with path.open("rb") as file:
                    file.seek(begin.offset)
                    yield from _lines_of(file, begin)
            except OSError as cause:
                raise unreadable(str(path), cause) from cause

    def _place(self, position: Position) -> _Place:
        """Return where a position is, or refuse one that is not behind a line of these files."""
        found = POSITION.fullmatch(position)
        if found is None or int(found[1]) >= len(self._paths):
            raise self._moved(position, "no such place")
        place = _Place(*map(int, found.groups()))
        path = self._paths[place.file]
        size, _ = _stat(path)
        if place.offset > size or not _ends_line(path, place.offset, size):
            raise self._moved(position, f"`{path.name}` has no line that ends there")
        return place

    def _moved(self, position: Position, why: str) -> SourceChangedError:
        return SourceChangedError(
            "the source is not what this position was made for",
            got=f"position {position!r} of {self._url}: {why}",
            fix="read from the beginning, or bring back the files as they were",
        )


def open_jsonl(location: Location) -> JsonlSource:
    """Open a file, a folder or a pattern of JSON Lines.

    Raises:
        DataUrlError: the bytes are not to be had this way, or an option is unknown.
        InputNotFoundError: there is no such file, or none in the folder.
    """
    check_transport(location)
    location.check_options()
    paths = _files(location.path)
    for path in paths:
        try:
            path.open("rb").close()
        except OSError as cause:
            raise unreadable(str(path), cause) from cause
    return JsonlSource(paths, url=location.url)


def check_transport(location: Location) -> None:
    """Refuse what is not on this machine's disks.

    Raises:
        DataUrlError: names the transport.
    """
    if location.transport not in TRANSPORTS or not location.path:
        raise DataUrlError(
            f"JSON Lines are not read or written over `{location.transport}`"
            if location.path
            else "the URL names no file",
            got=location.url,
            fix="name a file: jsonl+file://PATH",
        )


def _files(path: str) -> tuple[Path, ...]:
    folder = Path(path)
    if folder.is_dir():
        found = sorted(p for p in folder.glob("*.jsonl") if not p.name.startswith("."))
        if not found:
            raise not_found(str(folder / "*.jsonl"))
        return tuple(found)
    if glob.has_magic(path) and not folder.exists():
        found = sorted(Path(p) for p in glob.glob(path))  # noqa: PTH207 - the pattern may be absolute
        if not found:
            raise not_found(path)
        return tuple(found)
    return (folder,)


def _stat(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as cause:
        raise unreadable(str(path), cause) from cause
    return status.st_size, status.st_mtime_ns


def _ends_line(path: Path, offset: int, size: int) -> bool:
    """Whether a line of the file ends at this offset."""
    if offset in {0, size}:
        return True
    try:
        with path.open("rb") as file:
            file.seek(offset - 1)
            return file.read(1) == b"\n"
    except OSError as cause:
        raise unreadable(str(path), cause) from cause


def _lines_of(file: BinaryIO, start: _Place) -> Iterator[_Line]:
    offset, number = start.offset, start.line
    while content := file.readline(MAX_LINE_BYTES + 1):
        offset, number = offset + len(content), number + 1
        is_too_long = len(content) > MAX_LINE_BYTES
        while is_too_long and not content.endswith(b"\n"):
            content = file.readline(1 << 20)
            offset += len(content)
            if not content:
                break
        if number == 1:
            content = content.removeprefix(BYTE_ORDER_MARK)
        if is_too_long or content.strip():
            yield _Line(content, _Place(start.file, offset, number), is_too_long)


def _row(line: _Line, key: str) -> Mapping[str, object]:
    if line.is_too_long:
        raise BadRowError(
            f"{key}: the line is longer than {MAX_LINE_BYTES >> 20} MiB", fix="split the row"
        )
    try:
        value = msgspec.json.decode(line.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise BadRowError(
            f"{key}: the line is not JSON: {_reason(cause)}",
            got=_shown(line.content),
            fix="write one JSON object in a line, as UTF-8",
        ) from cause
    if not isinstance(value, dict):
        raise BadRowError(
            f"{key}: the line is JSON, but no object",
            got=_shown(line.content),
            fix='write {"column": value, …}',
        )
    return value


def _reason(cause: Exception) -> str:
    return (str(cause) or type(cause).__name__).removeprefix("JSON is malformed: ")


def _shown(content: bytes) -> str:
    return content[:80].decode("utf-8", "backslashreplace").strip()
