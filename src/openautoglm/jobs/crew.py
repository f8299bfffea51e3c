"""The worker processes of one job: started, heard when they end, told to end.

Owns `Crew` and `Ended`. A worker learns that its driver is gone, or wants it to end, by the end of
its standard input. Knows nothing of ledgers and of when to start one again.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, final

import msgspec

from openautoglm.jobs.endings import memory_kills
from openautoglm.jobs.orders import Orders, Report

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM: Final = ("-m", "openautoglm.jobs.running.worker")
GRACE_S: Final = 15.0
"""For a worker to journal what it has and to give its shards back."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A worker that is gone.

    Attributes:
        index: its place in the crew.
        owner: its name in the ledger.
        code: its exit code, negative for a signal.
        report: its last words, None where they were none.
        is_for_memory: the kernel ended some process for want of memory meanwhile.
        is_told: it was told to end.
    """

    index: int
    owner: str
    code: int
    report: Report | None
    is_for_memory: bool
    is_told: bool


@final
class Crew:
    """The workers of a job; leaving the `with` ends them all.

    Args:
        job: its id.
        ledger: its URL.
        of: how many workers there are.
        lease_s: of their shards.
        log: where they write to in words; None is nowhere.
    """

    def __init__(self, job: str, ledger: str, *, of: int, lease_s: float, log: Path | None) -> None:
        self._orders = Orders(ledger=ledger, job=job, index=0, of=of, owner="", lease_s=lease_s)
        self._log = log
        self._environment = {**os.environ, "PYTHONPATH": import_path()}
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._running: dict[int, _Worker] = {}

    @property
    def running(self) -> frozenset[int]:
        """The places of workers that were not heard to end."""
        return frozenset(self._running)

    def start(self, index: int) -> tuple[str, int]:
        """Start a worker in a place of the crew where none is; return its name and process."""
        owner = f"worker-{index}-{os.urandom(6).hex()}"
        orders = msgspec.structs.replace(self._orders, index=index, owner=owner)
        with open(self._log or os.devnull, "ab") as log:  # noqa: PTH123 - a path or none
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [sys.executable, *PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the driver alone
            )
        worker = _Worker(orders, process, self._ended)
        self._running[index] = worker
        worker.begin()
        return owner, process.pid

    def wait(self, timeout_s: float) -> list[Ended]:
        """Return the workers that ended, waiting a while for the first."""
        found: list[Ended] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._ended.get(timeout=timeout_s))
            while True:
                found.append(self._ended.get_nowait())
        for ended in found:
            self._running.pop(ended.index).join()
        return found

    def stop(self, grace_s: float = GRACE_S) -> list[Ended]:
        """Tell all workers to end, kill those that do not in time; return how all of them ended."""
        for worker in self._running.values():
            worker.tell_to_end()
        ends_s = time.monotonic() + grace_s
        found: list[Ended] = []
        while self._running and (left_s := ends_s - time.monotonic()) > 0:
            found += self.wait(left_s)
        for worker in self._running.values():
            worker.kill()
        while self._running:
            found += self.wait(1.0)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(grace_s=0.0)


@final
class _Worker:
    """One process, and the thread that hears what it says."""

    def __init__(
        self, orders: Orders, process: subprocess.Popen[bytes], ended: queue.SimpleQueue[Ended]
    ) -> None:
        self._orders, self._process, self._ended = orders, process, ended
        self._kills = memory_kills()
        self._is_told = False
        self._thread = threading.Thread(
            target=self._hear, name=f"openautoglm-{orders.owner}", daemon=True
        )

    def begin(self) -> None:
        """Give the orders and listen."""
        self._thread.start()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it is gone already, which is heard
                self._process.stdin.write(msgspec.json.encode(self._orders) + b"\n")
                self._process.stdin.flush()

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

    def _hear(self) -> None:
        last = b""
        if self._process.stdout is not None:
            with self._process.stdout as said:
                for line in said:
                    last = line if line.strip() else last
        code = self._process.wait()
        self._ended.put(
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
