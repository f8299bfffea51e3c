"""What this process holds: descriptors and threads, counted where /proc cannot be listed.

The sandbox leaves `/proc/self/status` readable, and no folder.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

MOST_DESCRIPTORS: Final = 4_096


def descriptors() -> int:
    """Return how many descriptors are open.

    Example:
        >>> descriptors() > 0
        True
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sum(_is_open(number) for number in range(min(limit, MOST_DESCRIPTORS)))


def threads() -> int:
    """Return how many threads run, those of native code among them.

    Example:
        >>> threads() > 0
        True
    """
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("Threads:"):
            return int(line.split()[1])
    return 0


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
