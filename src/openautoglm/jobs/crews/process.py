"""One worker process of this machine, and the thread that hears what it says.

Owns `WorkerProcess` and `import_path`. The worker learns that it is to end, or that whoever started
it is gone, by the end of its standard input. Knows nothing of ledgers.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.jobs.crews.crew import Began, Ended, News
from openautoglm.jobs.endings import memory_kills
from openautoglm.jobs.orders import Report
from openautoglm.jobs.presence import presence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from openautoglm.jobs.orders import Orders

PROGRAM: Final = ("-m", "openautoglm.jobs.running.worker")


@final
class WorkerProcess:
    """Start a worker and hear it.

    Args:
        orders: what it is to do.
        environment: all of its.
        log: where it writes to in words; None is nowhere.
        heard: is told that it began, at once, and of its end, in a thread.
    """

    def __init__(
        self,
        orders: Orders,
        environment: Mapping[str, str],
        log: Path | None,
        heard: Callable[[News], object],
    ) -> None:
        self._orders, self._heard = orders, heard
        self._kills = memory_kills()
        self._is_told = False
        with open(log or os.devnull, "ab") as words:  # noqa: PTH123 - a path or none
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [sys.executable, *PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the driver alone
            )
        presence = presence_of(self._process.pid)
        heard(Began(index=orders.index, owner=orders.owner, presence=presence))
        self._thread = threading.Thread(
            target=self._hear, name=f"openautoglm-{orders.owner}", daemon=True
        )
        self._thread.start()
        self._order()

    def tell_to_end(self) -> None:
        """Close its standard input."""
        self._is_told = True
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def join(self) -> None:
        """Wait for the thread, after its process ended."""
        self._thread.join()
        self.tell_to_end()

    def _order(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it is gone already, which is heard
                self._process.stdin.write(msgspec.json.encode(self._orders) + b"\n")
                self._process.stdin.flush()

    def _hear(self) -> None:
        last = b""
        if self._process.stdout is not None:
            with self._process.stdout as said:
                for line in said:
                    last = line if line.strip() else last
        code = self._process.wait()
        self._heard(
            Ended(
                index=self._orders.index,
                owner=self._orders.owner,
                code=code,
                report=read_report(last),
                is_for_memory=memory_kills() > self._kills,
                is_told=self._is_told,
            )
        )


def read_report(line: bytes) -> Report | None:
    """Return a worker's last words, None where they are none."""
    try:
        return msgspec.json.decode(line, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def import_path() -> str:
    """Return where our processes look for modules besides what their interpreter knows.

    A function that the caller can import is then found by workers too.
    """
    return os.pathsep.join(dict.fromkeys(path for path in sys.path if path and not _is_own(path)))


def _is_own(path: str) -> bool:
    """Whether an interpreter of ours knows a path by itself."""
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - beside the texts of `sys.path`
    return path.startswith(library) or path.endswith(("site-packages", "dist-packages", ".zip"))
