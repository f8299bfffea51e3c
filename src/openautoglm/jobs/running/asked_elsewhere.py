"""Which rows other processes of this machine answer right now: bytes of a file that they locked.

Owns `AskedElsewhere`. The kernel gives back the locks of a process that ends, however it ends.
Where a platform or a disk has no such locks, nobody is ever elsewhere.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from pathlib import Path

BUSY: Final = frozenset({errno.EACCES, errno.EAGAIN})
_FCNTL: Final = importlib.import_module("fcntl") if sys.platform in ("linux", "darwin") else None


@final
class AskedElsewhere:
    """Tell other processes what this one answers; each process has one at a time.

    Args:
        file: whose bytes are locked; made where it is missing, and always empty.
    """

    def __init__(self, file: Path) -> None:
        self._file: int | None = os.open(file, os.O_CREAT | os.O_RDWR, 0o666)

    def close(self) -> None:
        """Give back everything; a row that ends after that has nothing to give back."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def begin(self, key: bytes) -> bool:
        """Whether no other process answers a row of that key; it is this one's then."""
        if _FCNTL is None or self._file is None:
            return True
        try:
            _FCNTL.lockf(self._file, _FCNTL.LOCK_EX | _FCNTL.LOCK_NB, 1, _place(key))
        except OSError as error:
            return error.errno not in BUSY
        return True

    def end(self, key: bytes) -> None:
        """Let others find the answer, or be the one to answer."""
        if _FCNTL is not None and self._file is not None:
            with suppress(OSError):  # of a disk without locks, as in `begin`
                _FCNTL.lockf(self._file, _FCNTL.LOCK_UN, 1, _place(key))


def _place(key: bytes) -> int:
    """Return which byte stands for a key; two keys of one byte wait for each other, no more."""
    return int.from_bytes(key[:8], "big") >> 2
