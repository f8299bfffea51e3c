"""Verified packages under the SHA-256 of the wheel: unpacked, read-only, and the wheel itself.

Owns `ContentStore`. Content is its own proof: opening it hashes the wheel again and holds every
unpacked file to it, through descriptors that follow no link. What it does not guard against:
another program of the same user that changes a file after it was opened; load through
`importing`, which takes every byte from the wheel in memory, where that matters.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import ContentStoreError, InputNotFoundError, PackageRefusedError
from openautoglm.native.cache import put
from openautoglm.plugins.signing.package import Package, read_file
from openautoglm.plugins.signing.verify import sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.signing.verify import Verdict

NAME: Final = re.compile(r"[0-9a-f]{64}")
READ_ONLY_FILE: Final = 0o444
READ_ONLY_FOLDER: Final = 0o555
CHUNK: Final = 1 << 20
AGAIN: Final = "remove it and install the package again"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContent:
    """Content that was held to its name just now.

    Attributes:
        sha256: of the wheel.
        folder: the unpacked files and nothing else; read-only.
        package: the wheel in memory.
        signature: its envelope, or None.
    """

    sha256: str
    folder: Path
    package: Package = field(repr=False)
    signature: bytes | None = field(repr=False, default=None)

    def read(self, name: str) -> bytes:
        """Return a file as it was verified, whatever happened on disk since.

        Raises:
            ContentStoreError: there is no such file in the package.
        """
        if name not in self.package.files:
            raise ContentStoreError("there is no such file in the package", got=name)
        return b"".join(self.package.chunks(name))


@final
class ContentStore:
    """Verified packages in a folder that nobody but its owner may write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, verdict: Verdict) -> StoredContent:
        """Store the very bytes that were judged, if they were not refused.

        What is stored already is held to its name and returned.

        Raises:
            ContentStoreError: the package was refused, cannot be written, or what is stored under
                its name is something else.
        """
        package = verdict.package
        if package is None or verdict.state == "refused":
            raise ContentStoreError(
                "a package that was refused is not stored",
                got="; ".join(map(str, verdict.reasons[:3])),
                fix="get the package and its signature again, from whoever made it",
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            wheel = self._wheel(package.sha256)
            put(wheel, package.data, mode=READ_ONLY_FILE)
            if verdict.signature is not None:
                put(sidecar(wheel), verdict.signature, mode=READ_ONLY_FILE)
            if not (self.root / package.sha256).exists():
                self._unpack(package)
        except OSError as cause:
            raise ContentStoreError(
                "the package cannot be stored", got=f"{self.root}: {cause.strerror}"
            ) from cause
        return self.open(package.sha256)

    def open(self, sha256: str) -> StoredContent:
        """Hold stored content to its name, byte by byte, and return it.

        Raises:
            ContentStoreError: it is not there, or not what was put there.
        """
        folder = self._folder(sha256)
        wheel = self._wheel(sha256)
        try:
            package = Package.read(wheel)
            signature = read_file(sidecar(wheel)) if sidecar(wheel).exists() else None
        except (PackageRefusedError, InputNotFoundError) as cause:
            raise ContentStoreError(
                "the stored wheel is not there or damaged", got=str(cause.got), fix=AGAIN
            ) from cause
        if package.sha256 != sha256:
            raise ContentStoreError(
                "the stored wheel is another one", got=package.sha256, fix=AGAIN
            )
        _check_tree(folder, package)
        return StoredContent(sha256=sha256, folder=folder, package=package, signature=signature)

    def names(self) -> tuple[str, ...]:
        """Return the names of what is stored, sorted; nothing of it is opened."""
        if not self.root.is_dir():
            return ()
        return tuple(sorted(p.name for p in self.root.iterdir() if NAME.fullmatch(p.name)))

    def remove(self, sha256: str) -> None:
        """Remove content; that it is not there is no error."""
        folder = self._folder(sha256)
        if folder.is_dir() and not folder.is_symlink():
            _remove_tree(folder)
        wheel = self._wheel(sha256)
        sidecar(wheel).unlink(missing_ok=True)
        wheel.unlink(missing_ok=True)

    def _folder(self, sha256: str) -> Path:
        if NAME.fullmatch(sha256) is None:
            raise ContentStoreError("content is named by its SHA-256", got=sha256[:80])
        return self.root / sha256

    def _wheel(self, sha256: str) -> Path:
        return self._folder(sha256).with_suffix(".whl")

    def _unpack(self, package: Package) -> None:
        """Write all files beside their place and move them there whole."""
        part = Path(tempfile.mkdtemp(dir=self.root, prefix=".part-"))
        try:
            for name in package.files:
                target = part.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with os.fdopen(os.open(target, flags, READ_ONLY_FILE), "wb") as file:
                    file.writelines(package.chunks(name))
            for folder in (part, *(p for p in part.rglob("*") if p.is_dir())):
                folder.chmod(READ_ONLY_FOLDER)
            part.rename(self.root / package.sha256)
        except OSError as cause:
            if cause.errno not in {errno.EEXIST, errno.ENOTEMPTY}:  # another one was quicker
                raise
        finally:
            if part.exists():
                _remove_tree(part)


def _remove_tree(folder: Path) -> None:
    for below in (folder, *(p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink())):
        below.chmod(0o700)
    shutil.rmtree(folder)


def _check_tree(folder: Path, package: Package) -> None:
    """Hold the unpacked files to the wheel: every one, no other, none of them a link."""
    found: dict[str, str] = {}
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found.update(_hashes(descriptor, ""))
        finally:
            os.close(descriptor)
    except OSError as cause:
        raise ContentStoreError(
            "stored content cannot be read", got=f"{folder}: {cause.strerror}", fix=AGAIN
        ) from cause
    for name in sorted({*found, *package.files}):
        if found.get(name) != package.files.get(name):
            how = "is missing" if name not in found else "is not the package's"
            raise ContentStoreError(
                "stored content was changed", got=f"{folder}: {name} {how}", fix=AGAIN
            )


def _hashes(folder: int, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield name and digest of every file below an open folder."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for name in sorted(os.listdir(folder)):
        descriptor = os.open(name, flags, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                yield from _hashes(descriptor, f"{prefix}{name}/")
            elif stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                yield f"{prefix}{name}", _hash(descriptor)
            else:
                yield f"{prefix}{name}", "a link or a device"
        finally:
            os.close(descriptor)


def _hash(descriptor: int) -> str:
    hashed = hashlib.sha256()
    while chunk := os.read(descriptor, CHUNK):
        hashed.update(chunk)
    return hashed.hexdigest()
