"""A file far away, read in ranges. Knows no protocol: it is given a function that fetches."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, Final, cast, final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsIndex

    from _typeshed import WriteableBuffer

FIRST: Final = 64 << 10
BLOCK: Final = 4 << 20
GROWS: Final = 4
"""Bytes that are fetched at a place that was jumped to; so many times more, up to a block, with
each step from there on. A look at one place costs little, and a long reading few requests."""


@final
class RangedFile(io.RawIOBase):
    """Bytes `fetch(start, stop)` gives, as a file; fetched when they are asked for, not before."""

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._at = 0
        self._kept = b""
        self._begin = 0  # of what is kept
        self._step = FIRST

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
        """Give what is kept, or fetch more."""
        room = memoryview(buffer).cast("B")
        if not room or self._at >= self._size:
            return 0
        if not self._begin <= self._at < self._begin + len(self._kept):
            self._fill(len(room))
        begin = self._at - self._begin
        content = self._kept[begin : begin + len(room)]
        room[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _fill(self, wanted: int) -> None:
        is_next = self._at == self._begin + len(self._kept) and bool(self._kept)
        self._step = min(self._step * GROWS, BLOCK) if is_next else FIRST
        stop = min(self._at + max(wanted, self._step), self._size)
        self._kept, self._begin = self._fetch(self._at, stop), self._at
        if not self._kept:
            raise OSError(f"nothing came for bytes {self._at} to {stop} of {self._size}")


def buffered(size: int, fetch: Callable[[int, int], bytes]) -> BinaryIO:
    """Return a file that fetches blocks."""
    return cast("BinaryIO", io.BufferedReader(RangedFile(size, fetch), FIRST))


def is_far(file: BinaryIO) -> bool:
    """Whether each read of a file asks somebody far away."""
    return isinstance(getattr(file, "raw", None), RangedFile)
