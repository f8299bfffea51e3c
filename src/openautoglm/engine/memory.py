"""Whether weights fit, before any are read.

Owns the arithmetic and the one question to the machine. A container's limit counts as well as the
machine's memory. What it does not count: the cache of keys and values, which grows with use.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.errors import ModelTooLargeError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Callable

CGROUP_FILES: Final = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
GIB: Final = 2**30


def free_bytes() -> int:
    """Return how many bytes this process may still take."""
    psutil = need("psutil", extra="local", why="measuring free memory")
    machine = int(psutil.virtual_memory().available)
    limits = [_cgroup_free(limit, used) for limit, used in CGROUP_FILES]
    return min([machine, *(free for free in limits if free is not None)])


def give_back() -> None:
    """Return to the system what this process has freed and its allocator still holds."""
    import ctypes

    trim = getattr(ctypes.CDLL(None) if os.name == "posix" else None, "malloc_trim", None)
    if trim is not None:  # the GNU C library; others give back by themselves
        trim(0)


def check_fits(needed: int, free: int, *, what: str, fix: str) -> None:
    """Refuse weights that are larger than the memory that is free.

    Raises:
        ModelTooLargeError: they are; both numbers are in the message.
    """
    if needed > free:
        raise ModelTooLargeError(
            f"{what} does not fit the memory that is free",
            got=f"{needed / GIB:.2f} GiB needed, {free / GIB:.2f} GiB free",
            fix=fix,
        )


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii")


def _cgroup_free(limit: str, used: str, read: Callable[[str], str] = _read) -> int | None:
    try:
        return max(int(read(limit)) - int(read(used)), 0)
    except (OSError, ValueError):  # no such cgroup, or the limit is "max"
        return None
