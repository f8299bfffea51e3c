"""A worker's place on a node of a cluster: `Post`, which Ray makes an actor of.

It holds the worker as a process of its node, so that a crash is judged there, by its exit code and
by the memory of that machine, as it is without a cluster. Imports nothing of Ray. Where Ray ends
it, the worker's standard input ends too: it gives its shards back, or is killed with it and is
found gone.
"""

from __future__ import annotations

import os
import queue
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Final, final

from openautoglm.jobs.crews.crew import Ended, News
from openautoglm.jobs.crews.process import WorkerProcess, import_path
from openautoglm.jobs.home import log_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.orders import Orders

THREADS: Final = 4
"""Methods that may be under way at once: `end` is, all the time."""


@final
class Post:
    """One worker on this node; it is started at once.

    Args:
        orders: of the worker.
        environment: of the driver, as far as it is to count here; it wins over this node's.
        path: of the driver, for modules; what is not here is not looked at.
    """

    def __init__(self, orders: Orders, environment: Mapping[str, str], path: str) -> None:
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        own = import_path()
        variables = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join((own, path))}
        self._worker = WorkerProcess(orders, variables, log_file(orders.job), self._news.put)
        self._began = self._news.get()

    def began(self) -> News:
        """Return who the worker is."""
        return self._began

    def end(self) -> News:
        """Wait for the worker's end; to be called once."""
        ended = self._news.get()
        return replace(ended, where=socket.gethostname()) if isinstance(ended, Ended) else ended

    def tell_to_end(self) -> None:
        """Let the worker give its shards back and end."""
        self._worker.tell_to_end()

    def kill(self) -> None:
        """End the worker at once."""
        self._worker.kill()
