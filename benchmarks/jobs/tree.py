"""The memory and processor time of a process and all it starts, looked at while they run.

Owns `Tree`. Memory is the proportional set size, so that what processes share counts once; of a
process that may not be looked into, nothing is counted. Looking takes time itself: it stops for as
long as keeps it at a given share of one core. What begins and ends between two looks is not seen.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self, final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")
LEAST_S: Final = 0.005
PARENT, USER, SYSTEM, STARTED = 1, 11, 12, 19
"""Fields of /proc/PID/stat, counted from the one after the name."""


class Seen(NamedTuple):
    """A process at one look."""

    parent: int
    started: int
    cpu_s: float


@final
class Tree:
    """Look at processes and their descendants until it is left; orphans stay in it.

    Args:
        root: id of the first process.
        servers: of others that belong to it, and stay when it has ended.
        share: of a core that looking may take.

    Attributes:
        last_bytes: memory at the last look.
        peak_bytes: most of all looks.
        most: processes, likewise.
    """

    def __init__(self, root: int, *, servers: Sequence[int] = (), share: float = 0.02) -> None:
        self._root, self._servers, self._share = root, servers, share
        self._known: dict[tuple[int, int], float] = {}
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self.last_bytes = self.peak_bytes = 0
        self.most = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that was seen to be used."""
        return sum(self._known.values())

    def gone(self, timeout_s: float) -> bool:
        """Wait until all but the servers have ended; return whether they have."""
        ends_s = time.monotonic() + timeout_s
        while self._strays(_processes()):
            if time.monotonic() >= ends_s:
                return False
            threading.Event().wait(LEAST_S)
        return True

    def _look_on(self) -> None:
        pause_s = 0.0
        while not self._left.wait(pause_s):
            began_s = time.perf_counter()
            self._look()
            pause_s = max(LEAST_S, (time.perf_counter() - began_s) / self._share)

    def _look(self) -> None:
        there = _processes()
        members = _family([self._root, *self._servers, *self._living(there)], there)
        for member in members:
            seen = there[member]
            self._known[member, seen.started] = seen.cpu_s
        self.most = max(self.most, len(members))
        self.last_bytes = sum(map(_proportional_bytes, members))
        self.peak_bytes = max(self.peak_bytes, self.last_bytes)

    def _strays(self, there: dict[int, Seen]) -> set[int]:
        return set(self._living(there)) - _family(self._servers, there)

    def _living(self, there: dict[int, Seen]) -> list[int]:
        return [pid for pid, started in self._known if _is_it(there.get(pid), started)]


def _is_it(found: Seen | None, started: int) -> bool:
    return found is not None and found.started == started


def _family(first: Sequence[int], there: dict[int, Seen]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, seen in there.items():
        children.setdefault(seen.parent, []).append(pid)
    members: set[int] = set()
    waiting = [pid for pid in first if pid in there]
    while waiting:
        pid = waiting.pop()
        if pid not in members:
            members.add(pid)
            waiting += children.get(pid, ())
    return members


def _processes() -> dict[int, Seen]:
    """Return all processes there are, but for those that have ended and are not waited for."""
    found = {}
    for name in filter(str.isdecimal, os.listdir(PROC)):  # noqa: PTH208 - ten times as fast
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - as above
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if fields[0] not in "ZX":
            used_s = (int(fields[USER]) + int(fields[SYSTEM])) / TICKS
            found[int(name)] = Seen(int(fields[PARENT]), int(fields[STARTED]), used_s)
    return found


def _proportional_bytes(pid: int) -> int:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text("ascii", "replace")
    except OSError:
        return 0
    lines = (line.split() for line in text.splitlines()[1:])
    return next((int(words[1]) * 1024 for words in lines if words[0] == "Pss:"), 0)
