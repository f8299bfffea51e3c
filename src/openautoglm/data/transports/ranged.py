"""A file far away, read in ranges. Knows no protocol: it is given a function that fetches."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, Final, cast, final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsIndex

    from _typeshed import WriteableBuffer

BLOCK: Final = 4 << 20
"""Bytes that are fetched at a time, where less is asked for."""


@final
class RangedFile(io.RawIOBase):
    """Bytes `fetch(start, stop)` gives, as a file; fetched when they are asked for, not before."""

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def seek(self, offset: SupportsIndex, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + int(offset))
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fetch as much as there is room for."""
        room = memoryview(buffer).cast("B")
        stop = min(self._at + len(room), self._size)
        if stop <= self._at:
            return 0
        content = self._fetch(self._at, stop)
        if not content:
            raise OSError(f"nothing came for bytes {self._at} to {stop} of {self._size}")
        room[: len(content)] = content
        self._at += len(content)
        return len(content)


def buffered(size: int, fetch: Callable[[int, int], bytes]) -> BinaryIO:
    """Return a file that fetches blocks."""
    return cast("BinaryIO", io.BufferedReader(RangedFile(size, fetch), BLOCK))


def is_far(file: BinaryIO) -> bool:
    """Whether each read of a file asks somebody far away."""
    return isinstance(getattr(file, "raw", None), RangedFile)
