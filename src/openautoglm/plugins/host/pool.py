"""Channels that are free, handed to one call at a time, first come first served.

Owns `Pool`. A channel that comes back goes straight to the call that waits longest, so that busy
callers do not starve it. Knows nothing of what a channel is connected to.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol, final
from weakref import WeakSet

from openautoglm.errors import OpenAutoGLMError, PluginTimeoutError
from openautoglm.plugins.host.channel import WorkerGoneError

if TYPE_CHECKING:
    from openautoglm.plugins.host.channel import Channel, Owner


class Having(Protocol):
    """What has a worker for itself, beside others."""

    worker: Owner | None


@final
class _Waiter:
    """A call that waits: `ready` is held until it has a channel, or a refusal."""

    __slots__ = ("channel", "ready", "refusal", "worker")

    def __init__(self, worker: Owner | None) -> None:
        self.worker = worker
        self.channel: Channel | None = None
        self.refusal: Exception | None = None
        self.ready = threading.Lock()
        self.ready.acquire()


@final
class Pool:
    """The free channels of one plugin; the one used last is used first: its caches are warm."""

    def __init__(self, said: str) -> None:
        self._said = said
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._free: list[Channel] = []
        self._waiters: list[_Waiter] = []
        self._places: WeakSet[Having] = WeakSet()
        self._busy = 0
        self._refusal: OpenAutoGLMError | None = None
        self._closed: OpenAutoGLMError | None = None

    @property
    def busy(self) -> int:
        """Calls that have a channel now."""
        return self._busy

    def __contains__(self, channel: object) -> bool:
        """Return whether a channel is free."""
        return channel in self._free

    def lease(
        self, deadline: float, worker: Owner | None = None, *, place: Having | None = None
    ) -> Channel:
        """Return a channel of the caller's own; it is given back by `give` or `drop`.

        Args:
            deadline: of `time.monotonic`.
            worker: whose it must be; None for anyone's.
            place: that is to have the channel's worker: then one that few others have.

        Raises:
            WorkerGoneError: the worker is dead.
            PluginTimeoutError: none was free in time.
            OpenAutoGLMError: what `refuse` was told.
        """
        with self._lock:
            if self._closed is not None:
                raise _again(self._closed)
            if place is not None:
                self._places.add(place)
                self._sort_for_places()
            channel = self._found(worker)
            if channel is not None:
                self._busy += 1
                return channel
            if worker is not None and worker.state != "ready":
                raise WorkerGoneError(begun=True)
            if self._refusal is not None:
                raise _again(self._refusal)
            waiter = _Waiter(worker)
            self._waiters.append(waiter)
        return self._awaited(waiter, deadline)

    def give(self, channel: Channel) -> None:
        """Take a channel back whose call is over."""
        with self._lock:
            self._busy -= 1
            if channel.is_dead:
                channel.close()
            else:
                self._free.append(channel)
                self._hand_out()
            if not self._busy:
                self._idle.notify_all()

    def drop(self, channel: Channel) -> None:
        """Take note of a call that is over while its channel is not free."""
        with self._lock:
            self._busy -= 1
            channel.is_lost = True
            if channel.is_dead:
                channel.close()
            if not self._busy:
                self._idle.notify_all()

    def add(self, channel: Channel) -> None:
        """Let calls use a channel."""
        with self._lock:
            channel.is_lost = False
            self._free.append(channel)
            self._hand_out()

    def bury(self, channel: Channel) -> None:
        """Let no call use a channel any more; whoever waits in it, or for it, is woken."""
        with self._lock:
            channel.is_dead = True
            channel.hang_up()
            if channel in self._free:
                self._free.remove(channel)
                channel.close()
            elif channel.is_lost:
                channel.close()
            gone = [each for each in self._waiters if each.worker is channel.worker]
            self._turn_away(gone, WorkerGoneError(begun=True))

    def refuse(self, reason: OpenAutoGLMError | None) -> None:
        """Refuse calls for a reason where no channel is free; None: let them wait again."""
        with self._lock:
            self._refusal = reason
            if reason is not None:
                self._turn_away(list(self._waiters), reason)

    def close(self, reason: OpenAutoGLMError) -> None:
        """Refuse every call from now on; those that have a channel go on."""
        with self._lock:
            self._closed = self._refusal = reason
            self._turn_away(list(self._waiters), reason)

    def drain(self, deadline: float) -> bool:
        """Wait until no call is under way; return whether that came true in time."""
        with self._lock:
            left_s = max(0.0, deadline - time.monotonic())
            return self._idle.wait_for(lambda: not self._busy, left_s)

    def leave(self, place: Having) -> None:
        """Count a place no longer."""
        with self._lock:
            self._places.discard(place)

    def _sort_for_places(self) -> None:
        """Put a channel last, to be used first, whose worker the fewest places have."""
        having = Counter(place.worker for place in self._places)
        self._free.sort(key=lambda channel: -having[channel.worker])

    def _found(self, worker: Owner | None) -> Channel | None:
        if worker is None:
            return self._free.pop() if self._free else None
        for channel in self._free:
            if channel.worker is worker:
                self._free.remove(channel)
                return channel
        return None

    def _hand_out(self) -> None:
        for waiter in tuple(self._waiters):
            channel = self._found(waiter.worker)
            if channel is not None:
                self._busy += 1
                self._waiters.remove(waiter)
                waiter.channel = channel
                waiter.ready.release()

    def _turn_away(self, waiters: list[_Waiter], reason: Exception) -> None:
        for waiter in waiters:
            self._waiters.remove(waiter)
            waiter.refusal = reason
            waiter.ready.release()

    def _awaited(self, waiter: _Waiter, deadline: float) -> Channel:
        try:
            waiter.ready.acquire(timeout=max(0.0, deadline - time.monotonic()))
        except BaseException:  # Ctrl-C while it waits
            self._give_up(waiter)
            raise
        if waiter.channel is None and waiter.refusal is None:
            self._withdraw(waiter)
        if waiter.channel is not None:
            return waiter.channel
        if isinstance(waiter.refusal, OpenAutoGLMError):
            raise _again(waiter.refusal)
        if waiter.refusal is not None:
            raise waiter.refusal
        raise PluginTimeoutError(
            f"no worker of {self._said} was free in time",
            got=f"{self._busy} calls under way",
            fix="start it with more workers, or allow the call more time",
        )

    def _withdraw(self, waiter: _Waiter) -> None:
        """Stop waiting, unless something came at the last moment."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _give_up(self, waiter: _Waiter) -> None:
        self._withdraw(waiter)
        if waiter.channel is not None:
            self.give(waiter.channel)


def _again(error: OpenAutoGLMError) -> OpenAutoGLMError:
    return type(error)(error.problem, got=error.got, fix=error.fix)
