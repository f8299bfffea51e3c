"""A driver and its workers as processes that can be hit: Linux's own view of them.

Owns `Target`. Knows nothing of jobs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import signal
    import subprocess
    from collections.abc import Sequence


@final
class Target:
    """A driver that was started, and whoever it started.

    Args:
        driver: a process of ours.
    """

    def __init__(self, driver: subprocess.Popen[bytes]) -> None:
        self._driver = driver

    @property
    def is_alive(self) -> bool:
        """Whether the driver runs."""
        return self._driver.poll() is None

    def workers(self) -> list[int]:
        """Return the processes that the driver has started and that are there."""
        found: list[int] = []
        for task in Path(f"/proc/{self._driver.pid}/task").glob("*"):
            try:
                found += map(int, (task / "children").read_text("ascii").split())
            except OSError:  # the thread, or the driver, ended meanwhile
                continue
        return found

    def kill_driver(self) -> None:
        """End the driver as a power failure would."""
        self._driver.kill()
        self._driver.wait()

    def wait(self, timeout_s: float) -> int:
        """Wait for the driver's end and return its exit code."""
        return self._driver.wait(timeout_s)


def hit(processes: Sequence[int], what: signal.Signals) -> int:
    """Send a signal to processes; return how many were still there."""
    count = 0
    for process in processes:
        try:
            os.kill(process, what)
        except ProcessLookupError:
            continue
        count += 1
    return count
