"""Files on this machine's disks: found by path, folder or pattern, put with one step.

Owns `LocalFiles` and `LocalTarget`. What it does not notice: a file that is changed in place, to
the same size and within the file system's clock.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, final

from openautoglm.data.sink import Receipt
from openautoglm.data.transports.files import Stored, changed
from openautoglm.errors import OutputWriteError, SinkConflictError
from openautoglm.platform_io.refusals import not_found, reason, unreadable, unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.errors import OpenAutoGLMError

BLOCK = 1 << 20


@final
class LocalFiles:
    """Find and read files."""

    def find(self, path: str, endings: Sequence[str]) -> tuple[Stored, ...]:
        """Return the files of a path, sorted; a folder's hidden ones and subfolders are not."""
        root, paths = _found(path, tuple(endings))
        return tuple(_stored(found, root) for found in paths)

    def open(self, stored: Stored) -> BinaryIO:
        """Open a file that is as it was found."""
        file = Path(stored.path).open("rb")  # noqa: SIM115 - whoever asked closes it
        now = _version(os.fstat(file.fileno()))
        if now != stored.version:
            file.close()
            raise changed(stored, now)
        return file

    def check(self, stored: Stored) -> None:
        """Look at the file's size and time."""
        try:
            now = _version(Path(stored.path).stat())
        except OSError as cause:
            now = reason(cause)
        if now != stored.version:
            raise changed(stored, now)

    def refusal(self, path: str, cause: OSError) -> OpenAutoGLMError:
        """Say it in the words of all files."""
        return unreadable(path, cause)


def _found(path: str, endings: tuple[str, ...]) -> tuple[Path, list[Path]]:
    """Return the folder that names are below of, and the files."""
    asked = Path(path)
    if asked.is_dir():
        inside = (p for p in asked.iterdir() if p.name.endswith(endings) and p.is_file())
        found = sorted(p for p in inside if not p.name.startswith("."))
        if not found:
            raise not_found(
                str(asked / f"*{endings[0]}"), hint="; for its subfolders write a pattern: **/*"
            )
        return asked, found
    if glob.has_magic(path) and not asked.exists():
        matches = glob.glob(path, recursive=True)  # noqa: PTH207 - the pattern may be absolute
        found = sorted(p for p in map(Path, matches) if p.is_file())
        if not found:
            raise not_found(path)
        return _fixed(asked), found
    return asked.parent, [asked]


def _fixed(pattern: Path) -> Path:
    """Return the folders of a pattern before the first that is no name."""
    parts = pattern.parts
    count = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:count])


def _stored(path: Path, root: Path) -> Stored:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
    except OSError as cause:
        raise unreadable(str(path), cause) from cause
    return Stored(
        path=str(path),
        name=path.relative_to(root).as_posix(),
        origin=path.absolute().as_uri(),
        version=_version(status),
        size=status.st_size,
    )


def _version(status: os.stat_result) -> str:
    return f"size={status.st_size} modified={status.st_mtime_ns}"


@final
class LocalTarget:
    """A file that is written hidden, beside its place, and linked or renamed into it.

    A process killed in the middle leaves the hidden file; the next attempt with the same number
    writes over it.

    Args:
        path: where the file will be.
        hidden: where it is until then, in the same folder.
        is_part: it is made once and never replaced.
    """

    def __init__(self, path: Path, hidden: Path, *, is_part: bool) -> None:
        self._path = path
        self._hidden = hidden
        self._is_part = is_part

    @property
    def url(self) -> str:
        """The path."""
        return str(self._path)

    @property
    def folder(self) -> str | None:
        """The folder of the file: there must be room for it anyway."""
        return str(self._path.parent)

    def open(self) -> BinaryIO:
        """Open the hidden file."""
        if self._is_part:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return self._hidden.open("w+b")

    def found(self, count: Callable[[BinaryIO], int]) -> Receipt | None:
        """Read what is there."""
        try:
            with self._path.open("rb") as file:
                size, digest = measured(file)
                file.seek(0)
                return Receipt(url=self.url, rows=count(file), size_bytes=size, digest=digest)
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise OutputWriteError(
                "the part that was committed cannot be read", got=self.url, fix="check permissions"
            ) from cause

    def put(self, file: BinaryIO, receipt: Receipt) -> None:
        """Have the file on the disk, then give it its name."""
        del receipt  # a file says itself what is in it
        file.flush()
        os.fsync(file.fileno())
        file.close()
        if self._is_part:
            self._link()
            self._hidden.unlink()
        else:
            self._hidden.replace(self._path)
        _sync_folder(self._path.parent)

    def discard(self, file: BinaryIO) -> None:
        """Remove the hidden file."""
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            self._hidden.unlink()

    def refusal(self, size: int, cause: OSError) -> OutputWriteError:
        """Say it in the words of all files."""
        return unwritable(self.url, size, cause)

    def _link(self) -> None:
        """Give the hidden file its name, where no file has it; no two attempts can both."""
        try:
            os.link(self._hidden, self._path)
        except FileExistsError as cause:
            raise taken(self.url) from cause


def taken(url: str) -> SinkConflictError:
    """Return the error for a part that is there already."""
    return SinkConflictError(
        "another attempt at this part was committed before",
        got=url,
        fix="take what is there: `committed()` describes it",
    )


def measured(file: BinaryIO) -> tuple[int, str]:
    """Return the size of a file and its sha256 in hex, read from where it stands."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    # The file is in place already; a file system that cannot sync a folder does not undo it.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
