"""Volatile delivery: each subscription has a bounded queue and hands it to its handler.

Owns `Subscription`. Knows nothing of who may subscribe.

Guards the emitter, and the other subscribers, against a handler that raises, is slow or never
returns: the emitter only puts into a queue, from which the oldest message is dropped, and counted,
when it is full. An inline subscription guards against a handler that raises, and nothing else.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.bus.names import matcher
from openautoglm.bus.words import shown
from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from openautoglm.bus.message import Message

    Handler = Callable[[Message], Awaitable[object]] | Callable[[Message], object]

CAPACITY: Final = 1024  # messages that wait
CLOSE_TIMEOUT_S: Final = 5.0

_log: Final = logging.getLogger("openautoglm.bus")


def is_async(handler: Handler) -> bool:
    """Return whether a handler is called with `await`."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - the method itself is asked, not whether
    )


def check_function(handler: object, what: str) -> None:
    """Raise InvalidParameterError unless a handler is called without `await`."""
    if not callable(handler) or is_async(handler):
        raise InvalidParameterError(
            f"{what} is a function, not `async def`",
            got=shown(handler),
            fix="run the coroutine inside a function that returns when it is done",
        )


@final
class Subscription:
    """Messages of some types on their way to one handler.

    A function runs in a thread that belongs to the subscription, one message at a time, in the
    order of the queue, in the context (`contextvars`) of the one who subscribed. An `async def`
    runs as a task of the loop that was running at `subscribe`, or in the subscription's thread
    where none was.

    Attributes:
        pattern: which types.
        dropped: messages that were thrown away because the queue was full, or at `close`.
        delivered: messages the handler returned from; not counted where it is inline.
        failed: messages the handler raised at; each first, second, fourth, eighth … is logged.
        last_error: what it raised last.
    """

    def __init__(
        self, pattern: str, handler: Handler, *, capacity: int = CAPACITY, inline: bool = False
    ) -> None:
        if capacity < 1:
            raise InvalidParameterError(
                "a queue holds at least one message",
                got=capacity,
                fix="give a capacity of 1 or more",
            )
        if not callable(handler):
            raise InvalidParameterError(
                "a handler is a function", got=shown(handler), fix="give what is to be called"
            )
        self.pattern: Final = pattern
        self.takes: Final = matcher(pattern)
        self.dropped = self.delivered = self.failed = 0
        self.last_error: BaseException | None = None
        self.on_close: Callable[[Subscription], object] = lambda _: None
        self._handler = handler
        self._capacity = capacity
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._is_waiting = self._is_busy = self._is_closed = False
        self._thread: threading.Thread | None = None
        self.accept: Callable[[Message], object] = self._put
        if inline:
            self._become_inline()
        else:
            self._start()

    def drain(self, timeout_s: float) -> bool:
        """Wait until the queue is empty and the handler idle; return whether they came to be so."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._queue and not self._is_busy, timeout=timeout_s
            )

    def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Take no more messages, hand over those in the queue, and end the thread.

        What is not handed over within `timeout_s` is dropped, and counted. A handler that does
        not return keeps its thread, which does not keep the process.
        """
        self.on_close(self)
        with self._changed:
            self._is_closed = True
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self._give_up()

    def note_failure(self, error: BaseException, message: Message) -> None:
        """Count and log that the handler raised."""
        self.failed += 1
        self.last_error = error
        if self.failed & (self.failed - 1) == 0:
            _log.warning(
                "a handler of `%s` failed at %s, %d times so far",
                *(self.pattern, message.type, self.failed),
                exc_info=error,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _become_inline(self) -> None:
        check_function(self._handler, "an inline handler")
        self._wake: Callable[[], object] = lambda: None
        self.accept = self._handler

    def _start(self) -> None:
        self._ready = threading.Semaphore(0)
        self._wake = self._ready.release
        target: Callable[[], object] = self._run
        if is_async(self._handler):
            import asyncio  # 30 ms that only `async def` handlers cost

            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                target = self._run_loop
            else:
                self._start_in(loop)
                return
        self._thread = threading.Thread(
            target=copy_context().run, args=(target,), name=f"bus {self.pattern}", daemon=True
        )
        self._thread.start()

    def _start_in(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        ready = asyncio.Event()
        self._wake = lambda: self._wake_in(loop, ready)
        self._task = loop.create_task(self._pump(ready), name=f"bus {self.pattern}")

    def _wake_in(self, loop: asyncio.AbstractEventLoop, ready: asyncio.Event) -> None:
        try:
            loop.call_soon_threadsafe(ready.set)
        except RuntimeError:  # the loop has ended, and the task in it
            self._give_up()

    def _give_up(self) -> None:
        with self._changed:
            self._is_closed, self._is_busy = True, False
            self.dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()

    def _put(self, message: Message) -> None:
        with self._changed:
            if self._is_closed:
                return
            if len(self._queue) >= self._capacity:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(message)
            is_waiting, self._is_waiting = self._is_waiting, False
        if is_waiting:
            self._wake()

    def _take(self) -> Message | None:
        """Return the oldest message; None is to wait, or to end if closed."""
        with self._changed:
            self._is_busy = bool(self._queue)
            if self._queue:
                return self._queue.popleft()
            self._is_waiting = True
            self._changed.notify_all()
            return None

    def _run(self) -> None:
        while True:
            message = self._take()
            if message is not None:
                try:
                    self._handler(message)
                except BaseException as error:  # noqa: BLE001 - a handler's SystemExit ends no thread
                    self.note_failure(error, message)
                else:
                    self.delivered += 1
            elif self._is_closed:
                return
            else:
                self._ready.acquire()

    def _run_loop(self) -> None:
        import asyncio

        async def run() -> None:
            ready = asyncio.Event()
            loop = asyncio.get_running_loop()
            self._wake = lambda: self._wake_in(loop, ready)
            await self._pump(ready)

        asyncio.run(run())

    async def _pump(self, ready: asyncio.Event) -> None:
        try:
            while (message := self._take()) or not self._is_closed:
                if message is None:
                    await ready.wait()
                    ready.clear()
                    continue
                try:
                    await self._handler(message)  # type: ignore[misc]  # asked by `is_async`
                except Exception as error:  # noqa: BLE001 - any handler's
                    self.note_failure(error, message)
                else:
                    self.delivered += 1
        finally:  # cancelled, as at the end of the loop
            self._give_up()
