"""The file by which disks and clocks of other processes are made to fail: `Board`.

A small library is preloaded into them (`native/chaos/faults.cc`, which says what it covers); they
share this file with it. Knows nothing of jobs.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.native.cells import library_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIBRARY: Final = "liboag_faults"
VARIABLE: Final = "OPENAUTOGLM_CHAOS_BOARD"
SIZE: Final = 4096
NUMBER: Final = struct.Struct("=q")
DISK_UNTIL, DISK_ERROR, CLOCK_UNTIL, CLOCK_SHIFT = (n * NUMBER.size for n in range(4))
DISK_MET, CLOCK_MET, LOCK_MET, PORT, PORT_MET = (n * NUMBER.size for n in range(4, 9))
PLACES: Final = 9 * NUMBER.size


@final
class Board:
    """Say which faults are on; hear how often one was met.

    Args:
        file: made here.
        places: beginnings of absolute paths; only files that begin so are on the disk that fails.
    """

    def __init__(self, file: Path, places: Sequence[str]) -> None:
        self._path = file
        text = "".join(f"{place}\n" for place in places).encode()
        content = bytes(PLACES) + text
        if len(content) >= SIZE:
            raise ValueError(f"places take {len(content)} bytes, at most {SIZE - 1} fit")
        file.write_bytes(content.ljust(SIZE, b"\0"))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), SIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._put(DISK_UNTIL, 0)
        self._put(CLOCK_UNTIL, 0)
        self._map.close()

    def environment(self) -> Mapping[str, str]:
        """Return what processes are to be started with."""
        preload = f"{library_path(LIBRARY)} {os.environ.get('LD_PRELOAD', '')}".strip()
        return {"LD_PRELOAD": preload, VARIABLE: str(self._path)}

    def fail_disk(self, error: int, for_s: float) -> None:
        """Let writes to the places fail.

        Args:
            error: as of `errno`.
            for_s: seconds; 0 ends it.
        """
        self._put(DISK_ERROR, error)
        self._put(DISK_UNTIL, _until(for_s))

    def shift_clock(self, shift_s: float, for_s: float) -> None:
        """Let the wall clock be wrong, then right again.

        Args:
            shift_s: ahead, or back where it is negative.
            for_s: seconds; 0 ends it.
        """
        self._put(CLOCK_SHIFT, int(shift_s * 1e9))
        self._put(CLOCK_UNTIL, _until(for_s))

    @property
    def disk_met(self) -> int:
        """Calls that failed."""
        return self._get(DISK_MET)

    @property
    def clock_met(self) -> int:
        """Times that were told wrong."""
        return self._get(CLOCK_MET)

    @property
    def lock_met(self) -> int:
        """Locks on files of the places that were found taken."""
        return self._get(LOCK_MET)

    def close_port(self, port: int) -> None:
        """Name the port of IPv4 where nobody listens now; 0 is none."""
        self._put(PORT, port)

    @property
    def port_met(self) -> int:
        """Connections that were begun to that port."""
        return self._get(PORT_MET)

    def _put(self, place: int, number: int) -> None:
        NUMBER.pack_into(self._map, place, number)

    def _get(self, place: int) -> int:
        (number,) = NUMBER.unpack_from(self._map, place)
        return int(number)


def is_there() -> bool:
    """Whether the library was built with the package."""
    return library_path(LIBRARY) is not None


def _until(for_s: float) -> int:
    return time.monotonic_ns() + int(for_s * 1e9) if for_s > 0 else 0
