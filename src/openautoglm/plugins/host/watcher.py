"""One thread that waits for many things: descriptors, times, and what other threads ask of it.

Owns `Watcher`. Everything that changes the life of a worker happens in this thread, one thing
after the other. Knows nothing of plugins.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Self, final

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_S: Final = 60.0
_log: Final = logging.getLogger("openautoglm.plugins")


@final
class Timer:
    """Something that is to happen; `cancel` when it is not wanted any more."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.then: Callable[[], None] | None = then

    def cancel(self) -> None:
        """Do not do it."""
        self.then = None


@final
class Watcher:
    """The loop and its thread. `with` starts and ends it.

    Example:
        >>> done = threading.Event()
        >>> with Watcher() as watcher:
        ...     watcher.soon(done.set)
        ...     done.wait(5)
        True
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._then: dict[int, Callable[[], None]] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closing = self._is_over = False
        self._waking = threading.RLock()  # a collected stream may come back here in the same thread
        self._thread = threading.Thread(target=self._run, name="openautoglm-plugins", daemon=True)
        self._poll.register(self._wake, select.POLLIN)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.soon(self._close)
        self._thread.join()
        with self._waking:
            self._is_over = True
            os.close(self._wake)
        self._timers.clear()
        self._then.clear()

    def leave(self) -> None:
        """Do nothing any more, in a process that was forked: its thread is not here."""
        self._waking = threading.RLock()  # its holder is not here
        self._is_over = True
        os.close(self._wake)

    @property
    def is_here(self) -> bool:
        """Whether the caller is the watching thread."""
        return threading.current_thread() is self._thread

    def soon(self, then: Callable[[], None]) -> None:
        """Do something in the thread, after what it does now; from any thread.

        After the end it is not done: then there is nothing left to look after.
        """
        with self._waking:  # a stream that is let go of after the end wakes nobody
            if self._is_over:
                return
            self._soon.append(then)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(self._wake, 1)

    def later(self, delay_s: float, then: Callable[[], None]) -> Timer:
        """Do something in the thread after a time; from this thread alone."""
        timer = Timer(then)
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), timer))
        return timer

    def watch(self, descriptor: int, then: Callable[[], None]) -> None:
        """Call `then` whenever a descriptor can be read or is at its end; from this thread."""
        self._then[descriptor] = then
        self._poll.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no longer; before it is closed."""
        if self._then.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _close(self) -> None:
        self._closing = True

    def _run(self) -> None:
        while not self._closing:
            for descriptor, _ in self._poll.poll(self._wait_ms()):
                if descriptor == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._wake)
                else:
                    self._do(self._then.get(descriptor))
            while self._soon:
                self._do(self._soon.popleft())
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._do(heapq.heappop(self._timers)[2].then)

    def _wait_ms(self) -> float:
        if self._soon:
            return 0
        if not self._timers:
            return _LONGEST_S * 1e3
        return max(0.0, min(_LONGEST_S, self._timers[0][0] - time.monotonic())) * 1e3

    def _do(self, then: Callable[[], None] | None) -> None:
        if then is None:
            return
        try:
            then()
        except Exception:  # noqa: BLE001 - logged; the other workers are still to be watched
            _log.exception("the watcher of plugins met a mistake of its own")
