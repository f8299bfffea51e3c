"""Keys and values of what the slots have read.

Owns `Cache`: one array of keys and one of values for each layer, in memory that costs only what
was written. Knows nothing of decoding.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from openautoglm.errors import ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.engine.backends.native.families.architecture import Architecture

    Array = np.ndarray[Any, np.dtype[Any]]

BLOCK: Final = 16
"""Positions of a block."""
_NO_RESERVE: Final = 0x4000  # linux/mman.h; Python's mmap names it since 3.13


@final
class Cache:
    """Room for the keys and values of some slots.

    Args:
        architecture: of the decoder.
        slots: how many.
        context: positions of each.
        is_bf16: whether they are rounded to bf16, which halves them; f32 otherwise.

    Attributes:
        keys: by layer: (slots, key heads, blocks, width, 16).
        values: by layer: (slots, key heads, blocks, 16, width).
        is_bf16: whether their 16-bit values are bf16.
        nbytes: what all of it would cost if every slot were full.

    Raises:
        ModelTooLargeError: the system has no room for so much, even unused.
    """

    def __init__(
        self, architecture: Architecture, slots: int, context: int, *, is_bf16: bool = False
    ) -> None:
        a, blocks = architecture, -(-context // BLOCK)
        shape = (slots, a.key_heads, blocks, BLOCK, a.head_width)
        count = int(np.prod(shape, dtype=np.int64))
        self.is_bf16 = is_bf16
        dtype = np.dtype(np.uint16 if is_bf16 else np.float32)
        page = mmap.PAGESIZE
        self._stride = -(-count * dtype.itemsize // page) * page
        self.nbytes = self._stride * 2 * a.layers
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
        try:
            self._memory = mmap.mmap(-1, self.nbytes, flags=flags)
        except (OSError, OverflowError) as cause:
            raise ModelTooLargeError(
                "there are no addresses for the keys and values of so many tokens",
                got=f"{slots} slots of {context} tokens, {self.nbytes / 2**30:.0f} GiB",
                fix="use fewer slots or a shorter context",
            ) from cause
        arrays = [
            np.frombuffer(self._memory, dtype, count, i * self._stride) for i in range(2 * a.layers)
        ]
        blocked = (*shape[:3], a.head_width, BLOCK)
        self.keys: list[Array] = [array.reshape(blocked) for array in arrays[::2]]
        self.values: list[Array] = [array.reshape(shape) for array in arrays[1::2]]

    def copy_prefix(self, source: int, target: int, positions: int) -> None:
        """Copy the first positions of a slot to another, whole blocks of them."""
        blocks = -(-positions // BLOCK)
        for array in (*self.keys, *self.values):
            array[target, :, :blocks] = array[source, :, :blocks]

    def release(self, slot: int) -> None:
        """Give a slot's memory back to the system, whole pages of it; what it held is gone."""
        for begin, end in self._pages(slot):
            self._memory.madvise(mmap.MADV_DONTNEED, begin, end - begin)

    def _pages(self, slot: int) -> Iterator[tuple[int, int]]:
        size = self.keys[0][slot].nbytes
        page = mmap.PAGESIZE
        for i in range(2 * len(self.keys)):
            start = i * self._stride + slot * size
            begin, end = -(-start // page) * page, (start + size) // page * page
            if begin < end:
                yield begin, end
