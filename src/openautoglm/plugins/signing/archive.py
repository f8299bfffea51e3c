"""A zip archive in memory that can be read in one way only, or a refusal.

Owns `Member` and `members_of`. Where two readers of an archive could see different files (bytes
before, between or after members, headers that disagree, names that meet on some file system), it
is refused. Knows nothing of wheels.
"""

from __future__ import annotations

import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.plugins.signing.reason import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 512 << 20
"""An archive is held in memory once."""

MAX_UNPACKED_BYTES: Final = 2 << 30
MAX_MEMBERS: Final = 20_000
MAX_RATIO: Final = 200
"""Deflate reaches 1000 with nothing but zeros; code and tables reach 20."""

SLACK_BYTES: Final = 1 << 20
MAX_NAME: Final = 240
NOT_IN_NAMES: Final = '\\:*?"<>|'
CHUNK: Final = 1 << 20

_END = struct.Struct("<4s4H2LH")
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR = struct.Struct("<3L")
_DEFLATE_LEVEL, _HAS_DESCRIPTOR, _IS_UTF_8 = 0x6, 0x8, 0x800
_FLAGS: Final = _DEFLATE_LEVEL | _HAS_DESCRIPTOR | _IS_UTF_8
_TIMES: Final = frozenset({0x5455, 0x7875})
"""Extra fields that change nothing: times and owners."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive, and where its bytes lie."""

    name: str
    size: int
    is_deflated: bool
    start: int
    end: int
    crc: int

    def chunks(self, data: bytes) -> Iterator[bytes]:
        """Yield the content, at most `CHUNK` bytes at a time.

        Raises:
            Refusal: it is damaged, or of another size than it says.
        """
        crc, size = 0, 0
        for chunk in self._unpacked(memoryview(data)[self.start : self.end]):
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
            if size > self.size:
                break
            yield chunk
        if (crc, size) != (self.crc, self.size):
            raise Refusal("damaged", self.name)

    def _unpacked(self, packed: memoryview) -> Iterator[bytes]:
        if not self.is_deflated:
            yield from (bytes(packed[at : at + CHUNK]) for at in range(0, len(packed), CHUNK))
            return
        inflate, at = zlib.decompressobj(-zlib.MAX_WBITS), 0
        try:
            while not inflate.eof:
                given = inflate.unconsumed_tail or packed[at : at + CHUNK]
                at += 0 if inflate.unconsumed_tail else len(given)
                chunk = inflate.decompress(given, CHUNK)
                if not chunk and not len(given):
                    raise Refusal("damaged", self.name)
                yield chunk
        except zlib.error as cause:
            raise Refusal("damaged", self.name) from cause
        if inflate.unused_data or at < len(packed):
            raise Refusal("stray-bytes", self.name)


def members_of(data: bytes) -> dict[str, Member]:
    """Return the files of an archive by name; folders are left out.

    Raises:
        Refusal: it can be read in two ways, is too large, or has names that lead elsewhere.
    """
    if len(data) > MAX_BYTES:
        raise Refusal("too-large", f"{len(data)} bytes")
    directory = _directory_start(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError) as cause:
        raise Refusal("not-an-archive", cause) from cause
    if len(entries) > MAX_MEMBERS:
        raise Refusal("too-large", f"{len(entries)} members")
    at, members = 0, []
    for entry in sorted(entries, key=lambda each: each.header_offset):
        member, at = _member(data, entry, at)
        members.append((entry, member))
    if at != directory:
        raise Refusal("stray-bytes", "before the directory")
    _check_sizes([member for _, member in members])
    _check_names(entries)
    return {member.name: member for entry, member in members if not entry.is_dir()}


def _directory_start(data: bytes) -> int:
    """Return where the directory starts, in an archive that ends with it and nothing else."""
    if len(data) < _END.size:
        raise Refusal("not-an-archive", f"{len(data)} bytes")
    signature, disk, first, here, count, size, start, comment = _END.unpack(data[-_END.size :])
    if signature != b"PK\5\6" or comment:
        anywhere = b"PK\5\6" in data
        raise Refusal("stray-bytes" if anywhere else "not-an-archive", "the end is no archive's")
    if disk or first or here != count:
        raise Refusal("not-an-archive", "a part of an archive")
    if start + size != len(data) - _END.size:
        raise Refusal("stray-bytes", "around the directory")
    return int(start)


def _member(data: bytes, entry: zipfile.ZipInfo, at: int) -> tuple[Member, int]:
    """Hold a member's own header to the directory's, and return where the next one must start."""
    name = _name(entry)
    if entry.header_offset != at or at + _LOCAL.size > len(data):
        raise Refusal("stray-bytes", f"before {name}")
    signature, _, flags, method, _, _, crc, packed, size, named, extra = _LOCAL.unpack_from(
        data, at
    )
    start = at + _LOCAL.size + named + extra
    spelled = data[at + _LOCAL.size : at + _LOCAL.size + named]
    own = (signature, flags, method, spelled)
    theirs = (b"PK\3\4", entry.flag_bits, entry.compress_type, _spelled(entry))
    sizes = (entry.CRC, entry.compress_size, entry.file_size)
    streamed = bool(flags & _HAS_DESCRIPTOR) and (crc, packed, size) == (0, 0, 0)
    if own != theirs or not (streamed or (crc, packed, size) == sizes):
        raise Refusal("member-header", name)
    if flags & ~_FLAGS or method not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise Refusal("member-header", f"{name} is encrypted or packed in an unusual way")
    _check_extra(data[start - extra : start], name)
    _check_extra(entry.extra, name)
    if entry.comment:
        raise Refusal("stray-bytes", f"a comment on {name}")
    end = start + entry.compress_size
    member = Member(
        name=name.rstrip("/"),
        size=entry.file_size,
        is_deflated=method == zipfile.ZIP_DEFLATED,
        start=start,
        end=end,
        crc=entry.CRC,
    )
    if not member.is_deflated and entry.compress_size != entry.file_size:
        raise Refusal("member-header", name)
    return member, end + (_descriptor_size(data, end, sizes) if streamed else 0)


def _spelled(entry: zipfile.ZipInfo) -> bytes:
    try:
        encoding = "utf-8" if entry.flag_bits & _IS_UTF_8 else "ascii"
        return entry.orig_filename.encode(encoding)
    except UnicodeEncodeError as cause:
        raise Refusal("member-name", entry.orig_filename) from cause


def _descriptor_size(data: bytes, at: int, sizes: tuple[int, int, int]) -> int:
    for mark in (b"PK\7\x08", b""):
        wanted = mark + _DESCRIPTOR.pack(*sizes)
        if data[at : at + len(wanted)] == wanted:
            return len(wanted)
    raise Refusal("member-header", "a member's sizes do not follow it")


def _check_extra(extra: bytes, name: str) -> None:
    while extra:
        if len(extra) < 4:  # noqa: PLR2004 - an id and a length
            raise Refusal("member-header", f"extra fields of {name}")
        kind, size = struct.unpack_from("<2H", extra)
        if kind not in _TIMES or size + 4 > len(extra):
            raise Refusal("member-header", f"extra field {kind:#06x} of {name}")
        extra = extra[4 + size :]


def _name(entry: zipfile.ZipInfo) -> str:
    """Return a name that means the same file on every system, below the folder it is put in."""
    name = entry.orig_filename
    if name != entry.filename or not is_plain_name(name.removesuffix("/")):
        raise Refusal("member-name", ascii(name))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG}:
        raise Refusal("member-type", ascii(name))
    if entry.is_dir() and entry.file_size:
        raise Refusal("member-type", ascii(name))
    return name


def is_plain_name(name: str) -> bool:
    """Say whether every system can hold a file of that path, below the folder it is put in."""
    return (
        len(name.encode("utf-8", "replace")) < MAX_NAME
        and name.isprintable()
        and not any(character in NOT_IN_NAMES for character in name)
        and unicodedata.normalize("NFC", name) == name
        and not any(part in {"", ".", ".."} or part[-1] in ". " for part in name.split("/"))
    )


def _check_sizes(members: list[Member]) -> None:
    for member in members:
        if member.size > (member.end - member.start) * MAX_RATIO + SLACK_BYTES:
            raise Refusal("too-large", f"{member.name} unpacks to {member.size} bytes")
    total = sum(member.size for member in members)
    if total > MAX_UNPACKED_BYTES:
        raise Refusal("too-large", f"unpacks to {total} bytes")


def _check_names(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse names that are one on a file system that ignores case, and a file that is a folder."""
    spelled: dict[str, str] = {}
    files: set[str] = set()
    for entry in entries:
        path = entry.orig_filename.removesuffix("/")
        if entry.is_dir():
            path += "/-"  # as if a file lay in it: its own name is a folder's
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            name = "/".join(parts[:end])
            key = unicodedata.normalize("NFKC", name).casefold()
            is_file = end == len(parts) and not entry.is_dir()
            if spelled.setdefault(key, name) != name or key in files:
                raise Refusal("name-twice", ascii(name))
            if is_file:
                files.add(key)
    folders = {key.rpartition("/")[0] for key in spelled}
    if both := folders & files:
        raise Refusal("name-twice", ascii(min(both)))
