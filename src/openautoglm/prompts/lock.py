"""An advisory lock on a folder, so that two writers of one store lose nothing.

Guards against writers that ask for it, on this machine. It does not guard against an editor, nor
on network file systems without locks, nor where there are none at all: inside WebAssembly, where
one process is the rule.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from openautoglm.errors import PromptStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 10.0  # a write takes milliseconds; longer means that a writer hangs
_PAUSE_S = 0.005


@contextmanager
def locked(folder: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the folder's lock in the block; threads and processes wait for one another.

    POSIX locks the folder itself and leaves no file; Windows locks a file `.lock` in it.

    Raises:
        PromptStoreError: another writer held the lock for all of `patience_s`, or the folder
            cannot be opened.
    """
    descriptor = _opened(folder)
    try:
        deadline = time.monotonic() + patience_s
        while not _has_locked(descriptor):
            if time.monotonic() > deadline:
                raise PromptStoreError(
                    f"another process has been writing here for {patience_s:g} seconds",
                    got=str(folder),
                    fix="end it, then save again; nothing was written",
                )
            time.sleep(_PAUSE_S)
        yield
    finally:
        _release(descriptor)
        os.close(descriptor)


def _opened(folder: Path) -> int:
    try:
        if os.name == "nt":
            return os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
        return os.open(folder, os.O_RDONLY)
    except OSError as cause:
        raise PromptStoreError(
            "the folder of the prompt store cannot be opened",
            got=str(folder),
            fix="give this user read and write permission, or name another folder",
        ) from cause


def _has_locked(descriptor: int) -> bool:
    """Try once; a platform or file system without locks grants it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore] # Windows only
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return True
    except OSError as cause:
        return not is_held(cause)
    return True


def is_held(cause: OSError) -> bool:
    """Say whether locking failed because another has the lock, not because there are no locks."""
    return cause.errno in {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}


def _release(descriptor: int) -> None:
    """Give a Windows lock back; closing the descriptor releases any other."""
    if os.name == "nt":
        import msvcrt

        with contextlib.suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore] # Windows only
