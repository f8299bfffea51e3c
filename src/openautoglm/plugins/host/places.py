"""Where the calls of a contribution go: to any worker, or to the one that keeps what they share.

Owns `Anywhere` and `OneWorker`. Knows nothing of what is called.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import PluginCrashedError
from openautoglm.plugins.host.channel import WorkerGoneError

if TYPE_CHECKING:
    from typing import TypeAlias

    from openautoglm.plugins.host.channel import Channel, Owner
    from openautoglm.plugins.host.pool import Pool

    Place: TypeAlias = "Anywhere | OneWorker"


@final
class Anywhere:
    """Any worker.

    Attributes:
        is_bound: never.
    """

    is_bound: Final = False

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def lease(self, deadline: float) -> Channel:
        """Return a channel; errors as `Pool.lease`."""
        return self._pool.lease(deadline)

    def bind(self, worker: Owner) -> None:
        """Take no note of the worker that took a call."""

    def can_change(self, worker: Owner) -> bool:
        """Return that another worker will do as well as one that is gone."""
        del worker
        return True

    def close(self) -> None:
        """Do nothing."""


@final
class OneWorker:
    """One worker; before it took a call, any that few other places have.

    Attributes:
        worker: None while none is chosen.
        is_bound: whether it took a call: no other will do, since it may keep something.
    """

    def __init__(self, pool: Pool, said: str, worker: Owner | None = None) -> None:
        self.worker = worker
        self.is_bound = worker is not None
        self._pool = pool
        self._said = said
        self._lock = threading.Lock()

    def lease(self, deadline: float) -> Channel:
        """Return a channel of the worker; errors as `Pool.lease`.

        Raises:
            PluginCrashedError: it is dead.
        """
        while True:
            with self._lock:
                worker = self.worker
                if worker is None:
                    channel = self._pool.lease(deadline, place=self)
                    self.worker = channel.worker
                    return channel
            try:
                return self._pool.lease(deadline, worker)
            except WorkerGoneError:
                if not self.can_change(worker):
                    raise self._gone(worker) from None

    def bind(self, worker: Owner) -> None:
        """Note that a worker took a call."""
        with self._lock:
            self.worker, self.is_bound = worker, True

    def can_change(self, worker: Owner) -> bool:
        """Return whether another worker will do instead of one that is gone; then choose anew."""
        with self._lock:
            if not self.is_bound and self.worker is worker:
                self.worker = None
            return not self.is_bound

    def close(self) -> None:
        """Count no longer where workers are chosen."""
        self._pool.leave(self)

    def _gone(self, worker: Owner) -> PluginCrashedError:
        return PluginCrashedError(
            f"the worker of {self._said} that these calls belong to is gone",
            got=f"{worker.await_obituary()}; what it kept for them is lost",
            fix="begin anew",
        )
