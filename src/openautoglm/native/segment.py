"""One piece of memory that two processes see: a sealed memfd and its mapping here.

Owns `Segment`: its seals, who may write it, and the table of its slots with their generations.
Knows nothing of arrays. The seals stop a process that got the memory for reading from writing it
in any way, and one that got it for writing from changing its size under the other's feet. They do
not stop a writer from changing values while the other reads them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import Final, final

from openautoglm.errors import SharedTensorError

SLOTS: Final = 1_000
"""Slots of one segment at most."""

_HEAD: Final = struct.Struct("<8sII")  # what it is, its number, a version
_SLOT: Final = struct.Struct("<QQQ")  # generation (odd: in use), offset, bytes
_MAGIC: Final = b"OAGARENA"
_VERSION: Final = 1
_TABLE: Final = 64
DATA: Final = 32_768
"""Offset of the first byte that slots may take: after the header and the table."""

_F_SEAL_FUTURE_WRITE: Final = 0x10  # linux/fcntl.h since 5.1; Python's fcntl lacks it
_SIZE_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_READER_SEALS: Final = _SIZE_SEALS | _F_SEAL_FUTURE_WRITE


@final
class Segment:
    """A mapped memfd of fixed size.

    Attributes:
        number: what the two sides call it.
        size: bytes, table included.
        memory: the mapping; never closed by hand, it ends with the last array on it.
        address: where it is mapped here.
        handle: a descriptor to hand to the other process, or -1 where this is the other process.

    Example:
        >>> segment = Segment.create(0, DATA + 4096, peer_writes=False)
        >>> again = Segment.adopt(os.dup(segment.handle), 0, writable=False)
        >>> segment.memory[DATA] = 7
        >>> again.memory[DATA]
        7
    """

    def __init__(self, number: int, descriptor: int, *, writable: bool) -> None:
        self.number = number
        self.size = os.fstat(descriptor).st_size
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self.memory = mmap.mmap(descriptor, self.size, mmap.MAP_SHARED, protection)
        self.address = _address(self.memory)
        self.handle = -1

    @classmethod
    def create(cls, number: int, size: int, *, peer_writes: bool) -> Segment:
        """Make zeroed memory; pages that nobody touches cost nothing.

        Args:
            number: what the two sides call it.
            size: bytes, more than `DATA`.
            peer_writes: the descriptor is handed over for writing; else it can only be read.

        Raises:
            SharedTensorError: the system gives no memory, or has no sealed memory.
        """
        try:
            descriptor = os.memfd_create("openautoglm", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        except (AttributeError, OSError) as cause:
            raise SharedTensorError(
                "this system has no memory to share between processes",
                got=str(cause),
                fix="run plugins at level L0, or on Linux 5.1 or later",
            ) from cause
        try:
            os.ftruncate(descriptor, size)
            made = cls(number, descriptor, writable=True)
            seals = _SIZE_SEALS if peer_writes else _READER_SEALS
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            _HEAD.pack_into(made.memory, 0, _MAGIC, number, _VERSION)
            made.handle = os.dup(descriptor) if peer_writes else _for_reading(descriptor)
        except OSError as cause:
            raise SharedTensorError(
                f"no {size} bytes to share", got=str(cause), fix="free memory, or lower the limit"
            ) from cause
        finally:
            os.close(descriptor)
        return made

    @classmethod
    def adopt(cls, descriptor: int, number: int, *, writable: bool) -> Segment:
        """Map what another process made, and close the descriptor.

        Raises:
            SharedTensorError: its size could change under us, or it is no segment.
        """
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
            if seals & _SIZE_SEALS != _SIZE_SEALS or os.fstat(descriptor).st_size <= DATA:
                raise SharedTensorError(
                    "a segment is not sealed", got=f"seals {seals:#x}", fix="seal it before use"
                )
            made = cls(number, descriptor, writable=writable)
        except (OSError, ValueError) as cause:
            raise SharedTensorError("a segment cannot be mapped", got=str(cause)) from cause
        finally:
            os.close(descriptor)
        if _HEAD.unpack_from(made.memory) != (_MAGIC, number, _VERSION):
            raise SharedTensorError("a segment is another than it should be", got=f"not {number}")
        return made

    def slot(self, number: int) -> tuple[int, int, int]:
        """Return generation, offset and bytes of a slot, as its owner wrote them last."""
        if not 0 <= number < SLOTS:
            raise SharedTensorError("a reference names no slot", got=f"slot {number}")
        found: tuple[int, int, int] = _SLOT.unpack_from(self.memory, _TABLE + number * _SLOT.size)
        return found

    def write_slot(self, number: int, generation: int, offset: int, nbytes: int) -> None:
        """Write a slot of the table; the owner's alone."""
        _SLOT.pack_into(self.memory, _TABLE + number * _SLOT.size, generation, offset, nbytes)

    @property
    def is_made_here(self) -> bool:
        """Whether it was made by `create`, and not yet let go of."""
        return self.handle >= 0

    def release(self, offset: int, nbytes: int) -> None:
        """Let the system have whole pages of a range that nobody uses; they read as zeros then.

        Only memory that the other process made can be: the seals of the rest forbid it.
        """
        first = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (offset + nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            self.memory.madvise(mmap.MADV_REMOVE, first, last - first)

    def close_handle(self) -> None:
        """Close the descriptor that is handed over; the mapping stays."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def __del__(self) -> None:
        if getattr(self, "handle", -1) >= 0:
            self.close_handle()


def _for_reading(descriptor: int) -> int:
    """Open the same memory anew for reading only: one lock more than the seals."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def _address(memory: mmap.mmap) -> int:
    import numpy as np

    where: int = np.frombuffer(memory, np.uint8, 1).__array_interface__["data"][0]
    return where
