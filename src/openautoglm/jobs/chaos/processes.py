"""A driver and its workers as processes that can be hit: Linux's own view of them.

Owns `Target`, `hit` and `writing`. Knows nothing of jobs.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

GONE: Final = ("Z", "X", "x")
STOPPED: Final = ("T", "t", *GONE)
LOOK_S: Final = 0.0005


@final
class Target:
    """A driver that was started, and whoever it started.

    Args:
        driver: a process of ours.
    """

    def __init__(self, driver: subprocess.Popen[bytes]) -> None:
        self._driver = driver

    @property
    def driver(self) -> int:
        """The process of the driver."""
        return self._driver.pid

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


def stop(process: int) -> None:
    """Stop a process; return when it does nothing any more."""
    if hit([process], signal.SIGSTOP):
        while _state(process) not in STOPPED:
            time.sleep(LOOK_S)


def writing(process: int, places: Sequence[str]) -> list[Path]:
    """Return the files that a process has open to write in some places, and that have a name."""
    found: list[Path] = []
    for entry in _listed(Path(f"/proc/{process}/fd")):
        try:
            path = os.readlink(entry)  # noqa: PTH115 - it is looked at as a text
            if path.startswith(tuple(places)) and _is_written(process, entry.name):
                status = os.stat(path)  # noqa: PTH116 - as above
                if status.st_nlink == 1:  # two are a part that was just committed
                    found.append(Path(path))
        except OSError:  # closed or removed meanwhile
            continue
    return found


def _is_written(process: int, number: str) -> bool:
    lines = Path(f"/proc/{process}/fdinfo/{number}").read_text("ascii").splitlines()
    flags = next(line for line in lines if line.startswith("flags:"))
    return bool(int(flags.split()[1], 8) & os.O_ACCMODE)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # the process is gone
        return []


def _state(process: int) -> str:
    try:
        text = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
    except OSError:
        return GONE[0]
    return text.rpartition(")")[2].split()[0]
