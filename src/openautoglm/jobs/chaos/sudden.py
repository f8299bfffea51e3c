"""Faults that happen at once: processes are killed, stopped, and die while they write.

Owns `Sudden` and its kinds. Knows nothing of what comes after.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, final

from openautoglm.jobs.chaos.processes import hit, stop, writing

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from openautoglm.jobs.chaos.processes import Target

LOOK_S: Final = 0.0005


class Sudden(Protocol):
    """A fault that processes are hit by."""

    def strike(self, target: Target, chance: random.Random) -> bool | None:
        """Do it; return whether anybody met it, None where there was nobody to hit."""
        ...


@final
class Kill:
    """Processes are ended by SIGKILL.

    Args:
        driver: whether the driver is.
        workers: whether all workers are with it; without it, one of them.
    """

    def __init__(self, *, driver: bool, workers: bool) -> None:
        self._driver, self._workers = driver, workers

    def strike(self, target: Target, chance: random.Random) -> bool | None:
        """See `Sudden.strike`."""
        workers = target.workers()
        if self._driver:
            target.kill_driver()
            if self._workers:
                hit(workers, signal.SIGKILL)
            return True
        return hit([chance.choice(workers)], signal.SIGKILL) > 0 if workers else None


@final
class Pause:
    """A worker is stopped, and wakes when its rows may have another one.

    Args:
        sleep_s: how long it sleeps.
    """

    def __init__(self, sleep_s: float) -> None:
        self._sleep_s = sleep_s
        self._sleepers: list[threading.Timer] = []

    def strike(self, target: Target, chance: random.Random) -> bool | None:
        """See `Sudden.strike`."""
        workers = target.workers()
        if not workers:
            return None
        chosen = chance.choice(workers)
        count = hit([chosen], signal.SIGSTOP)
        sleeper = threading.Timer(self._sleep_s, hit, ([chosen], signal.SIGCONT))
        sleeper.start()
        self._sleepers.append(sleeper)
        return count > 0

    def join(self) -> None:
        """Wait until all are awake."""
        for sleeper in self._sleepers:
            sleeper.join()


@final
class Tear:
    """A process that writes a file is killed, and the file is cut: as a power failure would.

    Args:
        places: beginnings of the paths of such files, which nobody relies on until they are
            whole, synced and renamed.
        look_s: how long to wait for one that writes.
    """

    def __init__(self, places: Sequence[str], look_s: float) -> None:
        self._places, self._look_s = places, look_s

    def strike(self, target: Target, chance: random.Random) -> bool | None:
        """See `Sudden.strike`; nobody is hit where nobody writes."""
        ends_s = time.monotonic() + self._look_s
        while time.monotonic() < ends_s and target.is_alive:
            for process in (*target.workers(), target.driver):
                if writing(process, self._places) and self._tear(process, chance):
                    return True
            time.sleep(LOOK_S)
        return False

    def _tear(self, process: int, chance: random.Random) -> bool:
        stop(process)  # before the look: what it has open now is what it dies with
        files = writing(process, self._places)
        if not files:
            hit([process], signal.SIGCONT)
            return False
        for file in files:
            _cut(file, chance)
        hit([process], signal.SIGKILL)
        return True


def _cut(file: Path, chance: random.Random) -> None:
    with suppress(FileNotFoundError):  # somebody cleaned up
        size = file.stat().st_size
        os.truncate(file, chance.randrange(size) if size else 0)
