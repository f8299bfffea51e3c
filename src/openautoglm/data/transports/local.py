"""Files on this machine's disks: found by path, folder or pattern, put with one step.

Owns `LocalFiles` and `LocalTarget`. What it does not notice: a file that is changed in place and
keeps its size and its time.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.data.sink import Receipt
from openautoglm.data.transports.files import Stored, changed
from openautoglm.errors import (
    DataUrlError,
    InputNotFoundError,
    OpenAutoGLMError,
    OutputWriteError,
    SinkConflictError,
)
from openautoglm.platform_io.refusals import (
    folder_not_file,
    not_found,
    reason,
    unreadable,
    unwritable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.data.location import Location

BLOCK = 1 << 20
NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system without hard links says of one."""


@final
class LocalFiles:
    """Find and read files."""

    def find(self, path: str, endings: Sequence[str]) -> tuple[Stored, ...]:
        """Return the files of a path, sorted; a folder's hidden ones and subfolders are not."""
        try:
            root, paths = _found(path, tuple(endings))
        except OpenAutoGLMError:
            raise
        except OSError as cause:
            raise unreadable(path, cause) from cause
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


def folder_of(location: Location, *, rows: str, hint: str) -> Path:
    """Return the folder that a location names.

    Args:
        location: of a scheme that has no other transport than this machine's disks.
        rows: what its rows are called, for messages.
        hint: what to do where there is no such folder.

    Raises:
        DataUrlError: it asks for another transport.
        InputNotFoundError: there is no such folder.
    """
    if "+" in location.scheme and location.transport != "file":
        raise DataUrlError(
            f"{rows} are not read over `{location.transport}`",
            got=location.shown,
            fix=f"copy the folder to a disk: {location.format}:///data/reviews",
        )
    if not os.path.isdir(location.path):  # noqa: PTH112 - fails for no name
        raise not_found(location.path, hint=hint)
    return Path(location.path)


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
        root = _fixed(asked)
        matches = map(Path, glob.glob(path, recursive=True))  # noqa: PTH207 - it may be absolute
        found = sorted(p for p in matches if p.is_file() and not _is_around(p, root, asked))
        if not found:
            raise not_found(path)
        return root, found
    return asked.parent, [asked]


def _fixed(pattern: Path) -> Path:
    """Return the folders of a pattern before the first that is no name."""
    parts = pattern.parts
    count = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:count])


def _is_around(path: Path, root: Path, pattern: Path) -> bool:
    """Whether `**` came to a file through a link to a folder, which may be one it is in."""
    if "**" not in pattern.parts:
        return False
    between = path.relative_to(root).parents
    return any((root / folder).is_symlink() for folder in between if folder.name)


def _stored(path: Path, root: Path) -> Stored:
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):  # to open a pipe is to wait for who writes to it
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
    except OSError as cause:
        raise _unreadable(path, cause) from cause
    if not stat.S_ISREG(status.st_mode):
        raise _no_file(path)
    return Stored(
        path=str(path),
        name=path.relative_to(root).as_posix(),
        origin=path.absolute().as_uri(),
        version=_version(status),
        size=status.st_size,
    )


def _unreadable(path: Path, cause: OSError) -> OpenAutoGLMError:
    if isinstance(cause, FileNotFoundError) and path.is_symlink():
        return InputNotFoundError(
            f"the link leads to `{path.readlink()}`, which is not there",
            got=str(path),
            fix="bring it back, or make the link anew",
        )
    return unreadable(str(path), cause)


def _no_file(path: Path) -> InputNotFoundError:
    if path.is_dir():
        return folder_not_file(str(path))
    return InputNotFoundError(
        "this is a pipe or a device, which cannot be read twice",
        got=str(path),
        fix=f"copy it to a file first: cat {path} > rows{path.suffix}",
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
        elif self._path.exists() and not self._path.is_file():
            raise OutputWriteError(
                "this is a pipe or a device, in whose place no file is put",
                got=self.url,
                fix="write to a file, and copy it there",
            )
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
        except OSError as cause:
            if cause.errno not in NO_LINKS:
                raise
            raise OutputWriteError(
                "this file system has no hard links, so that parts would not be exactly once",
                got=self.url,
                fix="write to another disk, or to s3://",
            ) from cause


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
