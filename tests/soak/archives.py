"""Archives written by hand, even such as no wheel should be; nothing is checked here."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def flipped(data: bytes, chance: random.Random) -> bytes:
    """Return the data with one bit turned."""
    changed = bytearray(data)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def with_record(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files with a RECORD that is true of them."""
    own = next(name for name in files if name.endswith("/WHEEL")).replace("/WHEEL", "/RECORD")
    rows = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f'"{name}",sha256={digest},{len(content)}\n')
    return {**files, own: "".join([*rows, f"{own},,\n"]).encode()}


def zipped(
    files: Mapping[str, bytes] | list[tuple[str, bytes]],
    *,
    stored: bool = False,
    folders: bool = False,
    level: int = 6,
) -> bytes:
    """Return an archive, even of names that no archive should have."""
    pairs = list(files.items()) if not isinstance(files, list) else files
    if folders:
        made = dict.fromkeys(name.rpartition("/")[0] + "/" for name, _ in pairs)
        pairs = [*((name, b"") for name in made), *pairs]
    out, directory = io.BytesIO(), io.BytesIO()
    for name, content in pairs:
        spelled, start = name.encode(), out.tell()
        deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
        packed = content if stored else deflate.compress(content) + deflate.flush()
        method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        sizes = (zlib.crc32(content), len(packed), len(content))
        shared = struct.pack("<5H3L2H", 20, 0x800, method, 0, 33, *sizes, len(spelled), 0)
        out.write(b"PK\3\4" + shared + spelled + packed)
        kind = 0o040755 if name.endswith("/") else 0o100644
        central = struct.pack("<3H2L", 0, 0, 0, kind << 16, start)
        directory.write(b"PK\1\2" + struct.pack("<H", 0x314) + shared + central + spelled)
    end = (0, 0, len(pairs), len(pairs), directory.tell(), out.tell(), 0)
    return out.getvalue() + directory.getvalue() + b"PK\5\6" + struct.pack("<4H2LH", *end)


def noise(seed: int, size: int) -> bytes:
    """Return bytes that no packing makes smaller, the same for the same seed."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - repeatable, no secret
