"""Lines of a file with the bytes where they end, however long they are.

Shared by the formats of text. Knows nothing of what is in a line.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from openautoglm.data.formats.format import Spot
from openautoglm.errors import InputDecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ROW_BYTES: Final = 64 << 20
"""A longer row is a bad row; this much of it is in memory."""
SKIPPED: Final = 1 << 20
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
OTHERS: Final = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""How files of other encodings begin."""


class Line(NamedTuple):
    """One line with its end; `content` is cut where it is too long."""

    content: bytes
    end: Spot
    is_too_long: bool


def lines_of(file: BinaryIO, start: Spot, name: str) -> Iterator[Line]:
    """Yield the lines behind a spot, without a byte order mark.

    Raises:
        InputDecodeError: the file begins as UTF-16 or UTF-32 does.
    """
    file.seek(start.at)
    offset, number = start
    while content := file.readline(MAX_ROW_BYTES + 1):
        offset, number = offset + len(content), number + 1
        is_too_long = len(content) > MAX_ROW_BYTES
        if is_too_long and not content.endswith(b"\n"):
            offset += _skipped(file)
        if number == 1:
            content = _unmarked(content, name)
        yield Line(content, Spot(offset, number), is_too_long)


def ends_line(file: BinaryIO, offset: int) -> bool:
    """Whether a line of the file ends at this offset."""
    size = file.seek(0, os.SEEK_END)
    if offset in {0, size}:
        return True
    if offset > size:
        return False
    file.seek(offset - 1)
    return file.read(1) == b"\n"


def shown(content: bytes) -> str:
    """Return the beginning of a line for a message."""
    text = content[:80].decode("utf-8", "backslashreplace").strip()
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _skipped(file: BinaryIO) -> int:
    """Read to the end of the line and return how much that was."""
    count = 0
    while content := file.readline(SKIPPED):
        count += len(content)
        if content.endswith(b"\n"):
            break
    return count


def _unmarked(content: bytes, name: str) -> bytes:
    encoding = next((other for mark, other in OTHERS.items() if content.startswith(mark)), "")
    if encoding:
        raise InputDecodeError(
            f"`{name}` is {encoding}, at byte 0",
            got=shown(content[:16]),
            fix=f"write it as UTF-8: iconv -f {encoding} -t UTF-8 FILE > NEW",
        )
    return content.removeprefix(BYTE_ORDER_MARK)
