"""Channels that are free, handed to one call at a time.

Owns `Pool`. Knows nothing of what a channel is connected to.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, final

from openautoglm.errors import OpenAutoGLMError, PluginTimeoutError
from openautoglm.plugins.host.channel import WorkerGoneError

if TYPE_CHECKING:
    from openautoglm.plugins.host.channel import Channel
    from openautoglm.plugins.host.process import WorkerProcess


@final
class Pool:
    """The free channels of one plugin, the one used last first: its caches are warm."""

    def __init__(self, said: str) -> None:
        self._said = said
        self._changed = threading.Condition(threading.Lock())
        self._free: list[Channel] = []
        self._busy = 0
        self._refusal: OpenAutoGLMError | None = None

    @property
    def busy(self) -> int:
        """Calls that have a channel now."""
        return self._busy

    def lease(self, deadline: float, worker: WorkerProcess | None = None) -> Channel:
        """Return a channel of the caller's own; it is given back by `give` or `drop`.

        Args:
            deadline: of `time.monotonic`.
            worker: whose it must be; None for anyone's.

        Raises:
            WorkerGoneError: the worker is dead.
            PluginTimeoutError: none was free in time.
            OpenAutoGLMError: what `refuse` was told.
        """
        with self._changed:
            while True:
                channel = self._found(worker)
                if channel is not None:
                    self._busy += 1
                    return channel
                self._wait(deadline, worker)

    def _found(self, worker: WorkerProcess | None) -> Channel | None:
        if worker is None:
            return self._free.pop() if self._free else None
        for channel in self._free:
            if channel.worker is worker:
                self._free.remove(channel)
                return channel
        return None

    def _wait(self, deadline: float, worker: WorkerProcess | None) -> None:
        if worker is not None and worker.state != "ready":
            raise WorkerGoneError(begun=True)
        if self._refusal is not None:
            raise _again(self._refusal)
        left_s = deadline - time.monotonic()
        if left_s > 0:
            self._changed.wait(left_s)
            return
        raise PluginTimeoutError(
            f"no worker of {self._said} was free in time",
            got=f"{self._busy} calls under way",
            fix="start it with more workers, or allow the call more time",
        )

    def give(self, channel: Channel) -> None:
        """Take a channel back whose call is over."""
        with self._changed:
            self._busy -= 1
            if channel.is_dead:
                channel.close()
            else:
                self._free.append(channel)
            self._changed.notify_all()

    def drop(self, channel: Channel) -> None:
        """Take note of a call that is over while its channel is not free."""
        with self._changed:
            self._busy -= 1
            channel.is_lost = True
            if channel.is_dead:
                channel.close()
            self._changed.notify_all()

    def add(self, channel: Channel) -> None:
        """Let calls use a channel."""
        with self._changed:
            channel.is_lost = False
            self._free.append(channel)
            self._changed.notify_all()

    def bury(self, channel: Channel) -> None:
        """Let no call use a channel any more; whoever waits in it is woken."""
        with self._changed:
            channel.is_dead = True
            channel.hang_up()
            if channel in self._free:
                self._free.remove(channel)
                channel.close()
            elif channel.is_lost:
                channel.close()
            self._changed.notify_all()

    def refuse(self, reason: OpenAutoGLMError | None) -> None:
        """Refuse calls for a reason once no channel is left; None: let them wait again."""
        with self._changed:
            self._refusal = reason
            self._changed.notify_all()

    def drain(self, deadline: float) -> bool:
        """Wait until no call is under way; return whether that came true in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._busy, max(0.0, deadline - time.monotonic())
            )


def _again(error: OpenAutoGLMError) -> OpenAutoGLMError:
    return type(error)(error.problem, got=error.got, fix=error.fix)
