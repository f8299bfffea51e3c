"""Files of a folder as rows, in the order of their paths: `FolderSource`.

The key of a row is its file's path below the folder, and so is its position. Files are listed when
the source is opened, each is read when its row is due: a large folder needs memory for names alone,
and a file that is added later is seen by the next source. A shard is sealed with the names, sizes
and times of its files; where they are others, reading it ends in an error. What it does not notice:
a file that is changed in place and keeps its size and its time.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Final, final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from openautoglm.data.folders.contents import ImageContent, TextContent
from openautoglm.data.seal import seal_of, sealed, unsealed
from openautoglm.data.source import Column, Description, Record, Shard
from openautoglm.data.transports.local import folder_of
from openautoglm.errors import (
    BadRowError,
    DataUrlError,
    InvalidParameterError,
    SourceChangedError,
)
from openautoglm.platform_io.refusals import not_found, reason, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.data.folders.contents import Content
    from openautoglm.data.location import Location
    from openautoglm.data.source import Position

OPTIONS: Final = ("pattern", "kind", "encoding", "max_bytes")
ANYWHERE: Final = "**/*"
SAFE: Final = b"/ !#$&'()*+,:;=?@[]^`{|}~"


@final
class FolderSource:
    """Read the files of a folder. Use it through `open_source`.

    Args:
        folder: they are below of.
        names: their paths below it, sorted.
        content: makes rows of them.
        url: for descriptions and messages.
    """

    def __init__(self, folder: Path, names: Sequence[str], content: Content, *, url: str) -> None:
        self._folder = folder
        self._names = names
        self._content = content
        self._url = url

    def describe(self) -> Description:
        """Look how large the files are, and when they changed."""
        digest, size = hashlib.sha256(), 0
        for name in self._names:
            status = self._status(name)
            size += status.st_size
            digest.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
        return Description(
            url=self._url,
            columns=(Column(name="path", kind="text", nullable=False), *self._content.columns),
            fingerprint={
                "files": f"count={len(self._names)} size={size} sha256={digest.hexdigest()}"
            },
            rows=len(self._names),
            size_bytes=size,
        )

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Yield runs of `rows` files.

        Raises:
            InvalidParameterError: `rows` is less than one.
        """
        if rows < 1:
            raise InvalidParameterError("a shard has at least one row", got=rows, fix="rows=1000")
        names = self._names
        for index, first in enumerate(range(0, max(len(names), 1), rows)):
            stop = min(first + rows, len(names))
            yield Shard(
                index=index,
                start=_position(names[first - 1]) if first else None,
                stop=sealed(_position(names[stop - 1]), self._seal(first, stop)) if stop else None,
                rows=stop - first,
            )

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield files one after another."""
        start, end = (None, None) if shard is None else (shard.start, shard.stop)
        place, seal = unsealed(end) if end else ("", "")
        first = 0 if start is None else self._behind(start)
        stop = self._behind(place) if place else len(self._names)
        begin = first if resume_from is None else self._behind(resume_from)
        self._check(shard, first, stop, seal)
        for name in self._names[begin:stop]:
            yield self._record(name)
        self._check(shard, first, stop, seal)  # no file changed meanwhile

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def _check(self, shard: Shard | None, first: int, stop: int, seal: str) -> None:
        """Refuse a shard whose files are not those that it was made of."""
        if shard is None:
            return
        is_whole = shard.rows in {None, stop - first}
        if is_whole and seal in {"", self._seal(first, stop)}:
            return
        found = "others, or changed ones" if is_whole else f"{stop - first} files"
        raise SourceChangedError(
            "files were changed, added or removed since the shards were made",
            got=f"shard {shard.index} of {self._url}, of {shard.rows} files, has {found}",
            fix="begin anew, or read a folder that nobody changes",
        )

    def _seal(self, first: int, stop: int) -> str:
        """Return what tells files from others."""
        return seal_of(
            f"{_position(name)}\0{status.st_size}\0{status.st_mtime_ns}"
            for name in self._names[first:stop]
            for status in [self._status(name)]
        )

    def _record(self, name: str) -> Record:
        key, position = _shown(name), _position(name)
        try:
            row = {"path": _checked(name), **self._row(name)}
        except BadRowError as error:
            bad = BadRowError(f"{key}: {error.problem}", got=error.got, fix=error.fix)
            return Record(key=key, position=position, error=bad)
        return Record(key=key, position=position, values=row)

    def _row(self, name: str) -> dict[str, object]:
        path = self._folder / name
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > self._content.most_bytes:
                    raise BadRowError(
                        f"the file has {size} bytes, more than {self._content.most_bytes}",
                        fix="make it smaller, or raise ?max_bytes=",
                    )
                return dict(self._content.row(file))
        except FileNotFoundError as cause:
            raise unreadable(str(path), cause) from cause
        except OSError as cause:
            raise BadRowError(
                f"the file cannot be read: {reason(cause)}", fix="check its permissions"
            ) from cause

    def _status(self, name: str) -> os.stat_result:
        path = self._folder / name
        try:
            return path.stat()
        except OSError as cause:
            raise unreadable(str(path), cause) from cause

    def _behind(self, position: Position) -> int:
        """Return how many files come before the place behind one of them."""
        name = os.fsdecode(unquote_to_bytes(position))
        count = bisect_right(self._names, name)
        if not count or self._names[count - 1] != name:
            raise SourceChangedError(
                "the source is not what this position was made for",
                got=f"position {position!r} of {self._url}: no such file",
                fix="read from the beginning, or bring back the files as they were",
            )
        return count


def open_folder(location: Location) -> FolderSource:
    """Open a folder of texts, or of images with `kind=image`.

    Options: `pattern` as of `Path.glob`, `kind`, `encoding` of texts, `max_bytes` of a file.

    Raises:
        DataUrlError: an option is unknown, or no pattern, kind, encoding or number.
        InputNotFoundError: there is no such folder, or no file in it.
    """
    location.check_options(*OPTIONS)
    hint = "; a folder is named, files by ?pattern=*.txt"
    folder = folder_of(location, rows="folders", hint=hint)
    pattern = str(location.options.get("pattern", ""))
    if pattern and (Path(pattern).is_absolute() or ".." in Path(pattern).parts):
        raise DataUrlError(
            "a pattern stays in its folder", got=location.shown, fix="as in ?pattern=**/*.txt"
        )
    content = _content(location)
    names = _listed(folder, pattern, content)
    if not names:
        raise not_found(str(folder / (pattern or ANYWHERE)), hint="; name them by ?pattern=")
    return FolderSource(folder, names, content, url=location.shown)


def _listed(folder: Path, pattern: str, content: Content) -> list[str]:
    """Return the paths of files below a folder, sorted; hidden ones are left out."""
    try:
        found = [path for path in folder.glob(pattern or ANYWHERE) if path.is_file()]
    except OSError as cause:
        raise unreadable(str(folder), cause) from cause
    except (ValueError, NotImplementedError) as cause:
        raise DataUrlError(
            f"this is no pattern of files: {cause}", got=pattern, fix="as in ?pattern=**/*.txt"
        ) from cause
    names = (path.relative_to(folder) for path in found)
    return sorted(
        name.as_posix()
        for name in names
        if not any(part.startswith(".") for part in name.parts)
        and (pattern or content.takes(name.suffix.lower()))
    )


def _content(location: Location) -> Content:
    kind = str(location.options.get("kind", "text"))
    most = str(location.options.get("max_bytes", ""))
    if most and not (most.isascii() and most.isdecimal()):
        raise DataUrlError(
            "`max_bytes` is a number", got=location.shown, fix="as in ?max_bytes=1000000"
        )
    given = {"most_bytes": int(most)} if most else {}
    if kind == "image":
        if "encoding" in location.options:
            raise DataUrlError(
                "images have no encoding", got=location.shown, fix="leave encoding out"
            )
        return ImageContent(**given)
    if kind != "text":
        raise DataUrlError(
            f"there is no kind `{kind}` of files", got=location.shown, fix="text or image"
        )
    return TextContent(str(location.options.get("encoding", "utf-8")), **given)


def _checked(name: str) -> str:
    if _shown(name) != name:
        raise BadRowError("the name of the file is not UTF-8", fix="rename it")
    return name


def _position(name: str) -> Position:
    """Return a path as a text that any file may keep, whatever bytes it is made of."""
    return quote_from_bytes(os.fsencode(name), safe=SAFE)


def _shown(name: str) -> str:
    """Return a path as people may read it."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
