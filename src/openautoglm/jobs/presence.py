"""Whether a process that somebody noted is gone: `Presence`.

It can only be told on the machine, and in the container, where the process was; elsewhere nobody
is ever gone. Knows nothing of jobs.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final, final

import msgspec

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
NUMBERS: Final = Path("/proc/self/ns/pid")
BORN: Final = 19
"""Of the words behind the name in `/proc/PID/stat`: when the process began."""


@final
class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """A process, so that it is not taken for another one with its number.

    Attributes:
        host: the machine it is on, and since when that runs.
        pid: its number there.
        born: when it began; empty where that cannot be told.
    """

    host: str
    pid: int
    born: str = ""

    def is_here(self) -> bool:
        """Whether it runs on this machine for sure."""
        return self.host == _host() and not self.is_gone()

    def is_gone(self) -> bool:
        """Whether it ended for sure."""
        if self.host != _host():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is there, and somebody else's
            return False
        return bool(self.born) and _born(self.pid) != self.born


def presence_of(pid: int) -> Presence:
    """Return a process of this machine that is there.

    Example:
        >>> presence_of(os.getpid()).is_gone()
        False
    """
    return Presence(host=_host(), pid=pid, born=_born(pid))


def _host() -> str:
    """Name the machine since it was started, and the container: numbers of processes are theirs."""
    try:
        boot, numbers = BOOT.read_text("ascii").strip(), str(NUMBERS.readlink())
    except OSError:
        boot = numbers = ""
    return f"{socket.gethostname()} {boot} {numbers}"


def _born(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty for one that ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[BORN]
