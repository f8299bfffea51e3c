"""How many cores this process may keep busy.

Owns `usable_cores`: the machine's, less those it may not run on, less what its container's share of
the processor leaves.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CGROUP_FILE: Final = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(share: Path = CGROUP_FILE) -> int:
    """Return the number of cores, at least 1.

    Args:
        share: the file in which the system says "microseconds of each so many microseconds", or
            "max" for no limit.

    Example:
        >>> usable_cores() >= 1
        True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    try:
        quota, period = share.read_text("ascii").split()
        allowed = int(quota) // int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return cores
    return max(1, min(cores, allowed))
