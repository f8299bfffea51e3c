"""A plugin's wheel, read once into memory: what is verified, stored and loaded are these bytes.

Owns `Package`. It holds that a wheel is whole, plain and agrees with its own RECORD; it does not
hold that what is in it means well, nor who made it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import InputNotFoundError, PackageRefusedError, PluginManifestError
from openautoglm.plugins.manifest import FILE_NAME, Manifest
from openautoglm.plugins.signing.archive import MAX_BYTES, Member, members_of
from openautoglm.plugins.signing.reason import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAX_TABLE_BYTES: Final = 8 << 20
"""A manifest or a RECORD."""

UNHASHED: Final = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A wheel in memory.

    Attributes:
        name: the file's name.
        sha256: of the whole wheel, in hexadecimal.
        files: name to SHA-256 of every file in it, RECORD included.
        manifest: what it says of itself.
        data: the wheel itself.
    """

    name: str
    sha256: str
    files: Mapping[str, str]
    manifest: Manifest
    data: bytes = field(repr=False)
    _members: Mapping[str, Member] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Package:
        """Read a wheel.

        Raises:
            InputNotFoundError: there is no such file.
            PackageRefusedError: it is no whole and plain wheel of a plugin.
        """
        return cls.from_bytes(read_file(path), name=path.name)

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str) -> Package:
        """Read a wheel from memory; errors as `read`."""
        try:
            return parse(data, name=name)
        except Refusal as refusal:
            raise PackageRefusedError(
                "this is no whole and plain wheel of a plugin",
                got=f"{name}: {refusal.reason}",
                fix="pack the plugin again: `oag plugin pack`",
            ) from refusal

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file; its digest was taken when the package was read."""
        return self._members[name].chunks(self.data)

    def content(self, name: str, *, limit: int = MAX_BYTES) -> bytes:
        """Return the content of a file.

        Raises:
            Refusal: it is larger than the limit.
        """
        if self._members[name].size > limit:
            raise Refusal("too-large", name)
        return b"".join(self.chunks(name))


def parse(data: bytes, *, name: str) -> Package:
    """Return the package, or raise `Refusal`."""
    members = members_of(data)
    files = {each: _sha256(member, data) for each, member in members.items()}
    _check_record(data, members, files)
    return Package(
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        files=files,
        manifest=_manifest(data, members),
        data=data,
        _members=members,
    )


def read_file(path: Path) -> bytes:
    """Return a file's bytes, read through one descriptor that was a plain file's.

    Raises:
        InputNotFoundError: there is no such file.
        PackageRefusedError: it is no file, or larger than a package may be.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as cause:
        raise InputNotFoundError("no such file", got=f"{path}: {cause.strerror}") from cause
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        os.close(descriptor)
        is_large = stat.S_ISREG(status.st_mode)
        got = f"{path}: {status.st_size} bytes" if is_large else f"{path}: a folder or a device"
        raise PackageRefusedError(f"no file of at most {MAX_BYTES} bytes", got=got)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(status.st_size + 1)
    if len(data) != status.st_size:
        raise PackageRefusedError("the file changed while it was read", got=str(path))
    return data


def _sha256(member: Member, data: bytes) -> str:
    hashed = hashlib.sha256()
    for chunk in member.chunks(data):
        hashed.update(chunk)
    return hashed.hexdigest()


def _table(data: bytes, member: Member) -> bytes:
    if member.size > MAX_TABLE_BYTES:
        raise Refusal("too-large", member.name)
    return b"".join(member.chunks(data))


def _check_record(data: bytes, members: Mapping[str, Member], files: Mapping[str, str]) -> None:
    """Hold every file to its line in RECORD, and every line to its file."""
    records = [
        name for name in files if name.endswith(".dist-info/RECORD") and name.count("/") == 1
    ]
    if len(records) != 1:
        raise Refusal("record", f"{len(records)} of them")
    info = records[0].removesuffix("RECORD")
    stated: dict[str, str] = {}
    for row in _rows(_table(data, members[records[0]])):
        if row[0] in stated:
            raise Refusal("record", f"{row[0]} twice")
        stated[row[0]] = row[1]
    unhashed = {info + name for name in UNHASHED}
    for name, digest in files.items():
        wanted = base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
        if name not in unhashed and stated.get(name) != f"sha256={wanted}":
            raise Refusal("record", f"{name} is not what RECORD says")
    if missing := sorted(stated.keys() - files.keys()):
        raise Refusal("record", f"{missing[0]} is not there")


def _rows(text: bytes) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text.decode()), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as cause:
        raise Refusal("record", cause) from cause
    if any(len(row) != 3 for row in rows):  # noqa: PLR2004 - path, hash, size
        raise Refusal("record", "a line is no path, hash and size")
    return rows


def _manifest(data: bytes, members: Mapping[str, Member]) -> Manifest:
    found = [name for name in members if name.count("/") == 1 and name.endswith(f"/{FILE_NAME}")]
    if len(found) != 1:
        raise Refusal("manifest", f"{len(found)} of them")
    try:
        manifest = Manifest.from_json(_table(data, members[found[0]]), file=found[0])
    except PluginManifestError as cause:
        raise Refusal("manifest", cause.problem) from cause
    if found[0] != f"{manifest.package}/{FILE_NAME}":
        raise Refusal("manifest", f"it names the package {manifest.package}")
    return manifest
