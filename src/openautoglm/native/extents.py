"""Which bytes of a range are free: first fit, neighbours joined again when they come back.

Owns `Extents`, plain arithmetic. Knows nothing of memory.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, final

ALIGNMENT: Final = 64
"""Bytes; a cache line, and what DLPack asks of tensors."""


def rounded(nbytes: int) -> int:
    """Return the bytes that a request takes: at least one, a multiple of `ALIGNMENT`."""
    return max(1, -(-nbytes // ALIGNMENT)) * ALIGNMENT


@final
class Extents:
    """The free parts of `[start, end)`; not for several threads.

    Example:
        >>> extents = Extents(0, 256)
        >>> extents.take(100), extents.take(64), extents.take(100)
        (0, 128, None)
        >>> extents.give(0, 100), extents.free
        (None, 192)
    """

    def __init__(self, start: int, end: int) -> None:
        self._free: list[tuple[int, int]] = [(start, end - start)]

    @property
    def free(self) -> int:
        """Bytes that are free, in one piece or not."""
        return sum(size for _, size in self._free)

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """Offset and bytes of each free part, in order."""
        return tuple(self._free)

    def take(self, nbytes: int) -> int | None:
        """Return the offset of `rounded(nbytes)` bytes that are taken from now on, or None."""
        wanted = rounded(nbytes)
        for at, (offset, size) in enumerate(self._free):
            if size < wanted:
                continue
            if size == wanted:
                del self._free[at]
            else:
                self._free[at] = (offset + wanted, size - wanted)
            return offset
        return None

    def give(self, offset: int, nbytes: int) -> None:
        """Take back what `take` returned for `nbytes`."""
        size = rounded(nbytes)
        at = bisect_left(self._free, (offset, 0))
        if at < len(self._free) and offset + size == self._free[at][0]:
            size += self._free.pop(at)[1]
        if at and sum(self._free[at - 1]) == offset:
            offset, before = self._free[at - 1]
            size += before
            self._free[at - 1] = (offset, size)
        else:
            self._free.insert(at, (offset, size))
