"""Memory for converted weights that later worker processes map too.

Owns `Shared`: arrays laid out one after the other in one piece of memory. The layout follows from
the shapes, so a process that knows them needs only the descriptor. Memory that processes share has
small pages on most systems, and reading weights is faster with large ones, so the weights move
there when they are lent for the first time, each array staying where it is.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from openautoglm.errors import SharedTensorError
from openautoglm.native.segment import DATA, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    Array = np.ndarray[Any, np.dtype[Any]]

_STEP: Final = 1 << 26  # bytes that lie twice at a time while they move
_IN_PLACE: Final = 0x10 | 0x8000  # MAP_FIXED and MAP_POPULATE of linux/mman.h
ALIGNMENT: Final = 64
"""Bytes: a cache line, and the widest vector."""


@dataclass(frozen=True, slots=True)
class Piece:
    """An array to come: its name, shape and NumPy's name of its dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@final
class Shared:
    """Arrays in one piece of memory.

    Args:
        pieces: what lies in it, in order.
        descriptor: of memory that another process laid out; -1 to make it here. Closed.

    Attributes:
        arrays: by name; read-only where another process made them.
        nbytes: of the arrays.
    """

    def __init__(self, pieces: Iterable[Piece], descriptor: int = -1) -> None:
        listed = list(pieces)
        self.nbytes = sum(_aligned(piece.nbytes) for piece in listed)
        self._size = DATA + max(self.nbytes, 1)
        self._handle, self._is_made_here = -1, descriptor < 0
        self._memory = self._private() if descriptor < 0 else self._adopted(descriptor)
        self.arrays: dict[str, Array] = {}
        offset = DATA
        for piece in listed:
            count = int(np.prod(piece.shape, dtype=np.int64))
            flat: Array = np.frombuffer(self._memory, piece.dtype, count, offset)
            self.arrays[piece.name] = flat.reshape(piece.shape)
            offset += _aligned(piece.nbytes)

    def lend(self) -> int:
        """Return a descriptor for a worker process, good for reading only; the caller's to close.

        Raises:
            SharedTensorError: the system has no memory to share, or another process made this.
        """
        if self._is_made_here and self._handle < 0:
            segment = Segment.create(0, self._size, peer_writes=False)
            for array in self.arrays.values():
                array.flags.writeable = False
            _move(self._memory, segment)
            self._handle = os.dup(segment.handle)
        if self._handle < 0:
            raise SharedTensorError(
                "these weights belong to another process",
                fix="lend them from the process that loaded them",
            )
        return os.dup(self._handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", -1) >= 0:
            os.close(self._handle)

    def _private(self) -> mmap.mmap:
        memory = mmap.mmap(-1, self._size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError, AttributeError):  # a system without large pages
            memory.madvise(mmap.MADV_HUGEPAGE)
        return memory

    def _adopted(self, descriptor: int) -> mmap.mmap:
        segment = Segment.adopt(descriptor, 0, writable=False)
        if segment.size != self._size:
            raise SharedTensorError(
                "shared weights are laid out for another model",
                got=f"{segment.size} bytes, not {self._size}",
                fix="load the same folder in the same mode",
            )
        return segment.memory


def _move(memory: mmap.mmap, segment: Segment) -> None:
    """Copy memory to a segment of its size and map that in its place, in steps its readers miss.

    From then on it can only be read. Where the system refuses, both stay, which costs memory only.
    """
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_ssize_t]
    address = np.frombuffer(memory, np.uint8, 1).ctypes.data
    where = mmap.PROT_READ, mmap.MAP_SHARED | _IN_PLACE, segment.handle
    with memoryview(segment.memory) as target, memoryview(memory) as source:
        for begin in range(0, len(source), _STEP):
            end = min(begin + _STEP, len(source))
            start = max(begin, DATA)  # the segment's own header stays
            target[start:end] = source[start:end]
            libc.mmap(address + begin, end - begin, *where, begin)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
