"""Memory for converted weights that later worker processes map too.

Owns `Shared`: arrays laid out one after the other in one piece of memory. The layout follows from
the shapes, so a process that knows them needs only the descriptor.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from openautoglm.errors import SharedTensorError
from openautoglm.native.segment import DATA, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    Array = np.ndarray[Any, np.dtype[Any]]

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
        descriptor: to hand to a worker process, good for reading only; -1 where this process got
            it from another, or where the system has no memory to share.
    """

    def __init__(self, pieces: Iterable[Piece], descriptor: int = -1) -> None:
        listed = list(pieces)
        self.nbytes = sum(_aligned(piece.nbytes) for piece in listed)
        self._segment: Segment | None = None
        memory = self._map(descriptor)
        self.arrays: dict[str, Array] = {}
        offset = DATA
        for piece in listed:
            count = int(np.prod(piece.shape, dtype=np.int64))
            flat: Array = np.frombuffer(memory, piece.dtype, count, offset)
            self.arrays[piece.name] = flat.reshape(piece.shape)
            offset += _aligned(piece.nbytes)

    @property
    def descriptor(self) -> int:
        """See the class."""
        return -1 if self._segment is None else self._segment.handle

    def _map(self, descriptor: int) -> mmap.mmap:
        size = DATA + max(self.nbytes, 1)
        if descriptor >= 0:
            self._segment = Segment.adopt(descriptor, 0, writable=False)
            if self._segment.size != size:
                raise SharedTensorError(
                    "shared weights are laid out for another model",
                    got=f"{self._segment.size} bytes, not {size}",
                    fix="load the same folder in the same mode",
                )
            return self._segment.memory
        try:
            self._segment = Segment.create(0, size, peer_writes=False)
        except SharedTensorError:  # the model runs as well without, in this process
            return mmap.mmap(-1, size)
        return self._segment.memory


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
