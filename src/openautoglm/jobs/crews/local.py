"""The worker processes of one job on this machine: `LocalCrew`. Knows nothing of ledgers."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from typing import TYPE_CHECKING, Self, final

import msgspec

from openautoglm.jobs.crews.crew import GRACE_S, Ended, News, new_owner
from openautoglm.jobs.crews.process import WorkerProcess, import_path
from openautoglm.jobs.home import log_file

if TYPE_CHECKING:
    from openautoglm.jobs.orders import Orders


@final
class LocalCrew:
    """A crew whose workers are processes of this machine; see `Crew`.

    Args:
        orders: of all workers; place and name are set for each.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._log = log_file(orders.job)
        self._environment = {**os.environ, "PYTHONPATH": import_path()}
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._running: dict[int, WorkerProcess] = {}

    @property
    def running(self) -> frozenset[int]:
        """See `Crew.running`."""
        return frozenset(self._running)

    @property
    def words(self) -> str:
        """See `Crew.words`."""
        return str(self._log or "")

    def start(self, index: int) -> str:
        """See `Crew.start`."""
        owner = new_owner(index, os.urandom(6).hex())
        orders = msgspec.structs.replace(self._orders, index=index, owner=owner)
        worker = WorkerProcess(orders, self._environment, self._log, self._news.put)
        self._running[index] = worker
        return owner

    def wait(self, timeout_s: float) -> list[News]:
        """See `Crew.wait`."""
        found: list[News] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._news.get(timeout=timeout_s))
            while True:
                found.append(self._news.get_nowait())
        for news in found:
            if isinstance(news, Ended):
                self._running.pop(news.index).join()
        return found

    def stop(self, grace_s: float = GRACE_S) -> list[Ended]:
        """See `Crew.stop`."""
        for worker in self._running.values():
            worker.tell_to_end()
        ends_s = time.monotonic() + grace_s
        found: list[News] = []
        while self._running and (left_s := ends_s - time.monotonic()) > 0:
            found += self.wait(left_s)
        for worker in self._running.values():
            worker.kill()
        while self._running:
            found += self.wait(1.0)
        return [news for news in found if isinstance(news, Ended)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(grace_s=0.0)
