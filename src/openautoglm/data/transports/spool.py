"""Files that were fetched or unpacked once, in a folder that all processes of a user share.

Owns `Spool`. An entry appears whole or not at all; the ones not used for longest are removed. An
entry that is removed while it is read stays readable to whoever has it open. Knows nothing of where
files come from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, final

from openautoglm.data.transports.local import measured
from openautoglm.native.cache import cache_folder, turn
from openautoglm.platform_io.refusals import unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT_BYTES: Final = 20 << 30
KEPT_S: Final = 7 * 24 * 3600
"""Entries are removed beyond so many bytes in all, or when nobody asked for so long."""
PART: Final = ".part-"
TURN: Final = "turn-"
GROWS_S: Final = 3600
"""A part that nobody wrote to for so long is of a process that died."""
_HINT: Final = ", or set OPENAUTOGLM_CACHE to a folder with room"


class Writes(Protocol):
    """What an entry is written to."""

    def write(self, content: bytes, /) -> int:
        """Take bytes."""
        ...


@final
class Spool:
    """One kind of spooled files.

    Args:
        kind: a name; a folder of that name is made in the cache.
        kept_bytes: of all entries together; the newest is kept whatever its size.
    """

    def __init__(self, kind: str, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._kind = kind
        self._kept_bytes = kept_bytes

    def open(self, key: str, fill: Callable[[Writes], None]) -> BinaryIO:
        """Open the entry of a key to read; have `fill` write it where there is none.

        Raises:
            OutputWriteError: there is no room.
            OSError: as `fill` raises it.
        """
        path = self._folder() / hashlib.sha256(key.encode()).hexdigest()
        with contextlib.suppress(FileNotFoundError):
            return _opened(path)
        with turn(path.with_name(f"{TURN}{path.name[0]}")):
            try:
                return _opened(path)
            except FileNotFoundError:
                part, file = self._filled(fill)
                part.replace(path)
        self._tidy(path)
        return file

    def add(self, origin: str, fill: Callable[[Writes], None]) -> tuple[str, int]:
        """Make an entry of what `fill` writes, and return its version and size.

        Its key is `origin`, a space and the version.
        """
        part, file = self._filled(fill)
        with file:
            size, digest = measured(file)
        version = f"sha256={digest}"
        name = hashlib.sha256(f"{origin} {version}".encode()).hexdigest()
        part.replace(part.with_name(name))
        return version, size

    def _folder(self) -> Path:
        return cache_folder(self._kind)

    def _filled(self, fill: Callable[[Writes], None]) -> tuple[Path, BinaryIO]:
        folder = self._folder()
        try:
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=PART)
        except OSError as cause:
            raise unwritable(str(folder / "rows"), 0, cause, hint=_HINT) from cause
        file = os.fdopen(descriptor, "w+b")
        try:
            entry = _Entry(file, folder)
            fill(entry)
            entry.finish()
        except BaseException:
            file.close()
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name), file

    def _tidy(self, newest: Path) -> None:
        """Remove what is too much or too old, and what processes that died left half done."""
        now, total = time.time(), 0
        for path, used_s, size in sorted(self._entries(), key=lambda entry: -entry[1]):
            total += size
            age_s = now - used_s
            is_needed = path == newest or (path.name.startswith(PART) and age_s < GROWS_S)
            if not is_needed and (age_s > KEPT_S or total > self._kept_bytes):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _entries(self) -> Iterator[tuple[Path, float, int]]:
        """Yield paths with the time of their last use and their size."""
        for path in self._folder().iterdir():
            if not path.name.startswith(TURN):
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    yield path, status.st_mtime, status.st_size


class _Entry:
    """A file that is written, whose errors name its folder."""

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        self._file = file
        self._folder = folder

    def write(self, content: bytes, /) -> int:
        try:
            return self._file.write(content)
        except OSError as cause:
            raise unwritable(str(self._folder), len(content), cause, hint=_HINT) from cause

    def finish(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.seek(0)
        except OSError as cause:
            raise unwritable(str(self._folder), 0, cause, hint=_HINT) from cause


def _opened(path: Path) -> BinaryIO:
    file = path.open("rb")
    with contextlib.suppress(OSError):
        os.utime(path)
    return file
