"""Locks on files, which the kernel gives back when their process ends, however it ends."""

from __future__ import annotations

import importlib
import sys
from typing import Final

_FCNTL: Final = importlib.import_module("fcntl") if sys.platform in ("linux", "darwin") else None


def lock_file(fd: int) -> bool:
    """Lock an open file for this process alone; return False where another has the lock.

    Where the platform has no such locks (Windows, WASI) the answer is True and nothing is locked.
    """
    if _FCNTL is None:
        return True
    try:
        _FCNTL.flock(fd, _FCNTL.LOCK_EX | _FCNTL.LOCK_NB)
    except BlockingIOError:
        return False
    return True
