"""Every file below a folder by name and SHA-256, taken so that nothing but plain files counts.

Owns `Listing` and how it is taken. A listing's digest stands for all the files; the listing itself
lies beside them, so that a change can be told by the name of the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LISTING: Final = "contents.json"
CHUNK: Final = 1 << 20
WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIGEST_LENGTH: Final = 64


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in a folder.

    Attributes:
        files: path in the folder to SHA-256 in hexadecimal; what is no plain file that its owner
            alone may write has words instead, and a folder's path ends in a slash.
    """

    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the listing, in hexadecimal."""
        return hashlib.sha256(self._encoded).hexdigest()

    @property
    def _encoded(self) -> bytes:
        return msgspec.json.encode(dict(self.files), order="sorted")

    def below(self, folder: str) -> dict[str, str]:
        """Return the files in one of its folders, by their path in that."""
        start = f"{folder}/"
        return {
            name.removeprefix(start): digest
            for name, digest in self.files.items()
            if name.startswith(start) and not name.endswith("/")
        }

    @property
    def odd(self) -> str | None:
        """The first of its files that is none that its owner alone may write, and why."""
        for name, said in self.files.items():
            if len(said) not in {0, _DIGEST_LENGTH}:
                return f"{name} {said}"
        return None

    def write(self, folder: Path) -> None:
        """Put the listing beside what it lists."""
        (folder / LISTING).write_bytes(self._encoded)

    def difference(self, folder: Path, wanted: str) -> str:
        """Say in which file this differs from the listing of that digest that a folder has."""
        if self.odd is not None:
            return self.odd
        try:
            text = (folder / LISTING).read_bytes()
        except OSError:
            return f"its {LISTING} cannot be read"
        if hashlib.sha256(text).hexdigest() != wanted:
            return f"its {LISTING} was changed"
        before = msgspec.json.decode(text, type=dict[str, str])
        for name in sorted({*before, *self.files}):
            if before.get(name) != self.files.get(name):
                how = "is missing" if name not in self.files else "was changed"
                return f"{name} {how if name in before else 'was added'}"
        return "another wheel lies there"


def listed(folder: Path) -> Listing:
    """Take the listing of a folder: every file is read, and no link is followed.

    Raises:
        OSError: it is no folder, or something in it cannot be read.
    """
    descriptor = os.open(folder, _FLAGS | os.O_DIRECTORY)
    try:
        found = dict(_digests(descriptor, ""))
    finally:
        os.close(descriptor)
    found.pop(LISTING, None)
    return Listing(files=found)


def _digests(folder: int, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield name and digest of all that is below an open folder."""
    for name in sorted(os.listdir(folder)):
        path = prefix + name
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            yield _told(path), "is a link or a device"
            continue
        descriptor = os.open(name, _FLAGS, dir_fd=folder)
        try:
            yield from _entry(descriptor, path)
        finally:
            os.close(descriptor)


def _entry(descriptor: int, path: str) -> Iterator[tuple[str, str]]:
    status = os.fstat(descriptor)
    if status.st_mode & WRITABLE:
        yield _told(path), "may be written by others"
    elif stat.S_ISDIR(status.st_mode):
        yield f"{_told(path)}/", ""
        yield from _digests(descriptor, f"{path}/")
    elif status.st_nlink == 1:
        yield _told(path), _sha256(descriptor)
    else:
        yield _told(path), "has a second name"


def _told(path: str) -> str:
    """Return a name as text, whatever bytes it is made of."""
    return path.encode("utf-8", errors="backslashreplace").decode()


def _sha256(descriptor: int) -> str:
    hashed = hashlib.sha256()
    while chunk := os.read(descriptor, CHUNK):
        hashed.update(chunk)
    return hashed.hexdigest()
