"""How a worker process ended, judged from outside: who is to blame decides about its rows.

Owns `judge` and `memory_kills`. Knows nothing of shards.
"""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import Ending
    from openautoglm.jobs.orders import Report

COUNTED: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
SIGKILL: Final[int] = 9


def judge(code: int, report: Report | None, *, is_for_memory: bool) -> Ending:
    """Say how a worker left its shards.

    Args:
        code: its exit code; a negative one is a signal.
        report: its last words, None where it had none.
        is_for_memory: whether the kernel killed somebody for want of memory meanwhile.

    Example:
        >>> judge(-9, None, is_for_memory=False), judge(-9, None, is_for_memory=True)
        ('killed', 'crashed')
        >>> judge(-11, None, is_for_memory=False)
        'crashed'
    """
    if report is not None and code >= 0:
        return "returned"
    if code == -SIGKILL and not is_for_memory:
        return "killed"
    return "crashed"


def in_words(code: int, *, is_for_memory: bool) -> str:
    """Return an exit code for people.

    Example:
        >>> in_words(-11, is_for_memory=False)
        'ended by SIGSEGV'
    """
    if code == -SIGKILL and is_for_memory:
        return "ended by the kernel for want of memory"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def memory_kills() -> int:
    """Return how many processes the kernel has ended for want of memory, as far as it tells.

    Of the whole machine, and of the control group of this process, which a container is; 0 where
    neither is told.
    """
    if sys.platform != "linux":
        return 0
    return _counted(Path("/proc/vmstat")) + _counted(_group() / "memory.events")


def _counted(file: Path) -> int:
    try:
        found = COUNTED.search(file.read_text("ascii"))
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _group() -> Path:
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text("ascii").splitlines()
    except OSError:
        return root
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return root / path.lstrip("/")
