"""Request and reply: one responder a type, exactly one reply a request, before a deadline.

Owns `Responder` and `Call`. Knows nothing of who may ask or answer.

Guards the one who asks against a responder that raises, hangs or is overloaded. Does not end a
handler that hangs: its thread stays with it, and what it returns late is thrown away and counted.
"""

from __future__ import annotations

import queue
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.bus.delivery import check_function
from openautoglm.bus.message import Message
from openautoglm.bus.words import told
from openautoglm.errors import (
    BusClosedError,
    DeadlineExceededError,
    InvalidParameterError,
    OpenAutoGLMError,
    RespondFailedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Answer = Callable[[Message], object]

WAITING: Final = 1024  # requests that may wait for a responder
CLOSE_TIMEOUT_S: Final = 5.0
REPLY_TO: Final = "inreplyto"  # the extension that carries the id of the request


def check_threads(threads: int) -> None:
    """Raise InvalidParameterError unless there is somebody to answer."""
    if threads < 1:
        raise InvalidParameterError(
            "a responder has at least one thread", got=threads, fix="give 1 or more `threads`"
        )


@final
class Call:
    """One request and the one outcome it comes to; the first outcome stands."""

    def __init__(self, request: Message, deadline_s: float) -> None:
        self.request: Final = request
        self.deadline_s: Final = deadline_s
        self._ends_at = time.monotonic() + deadline_s
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._outcome: Message | BaseException | None = None

    def settle(self, outcome: Message | BaseException) -> bool:
        """Give the outcome; return False where there is one, which stays."""
        with self._lock:
            if self._outcome is not None:
                return False
            self._outcome = outcome
        self._done.set()
        return True

    def is_settled(self) -> bool:
        """Return whether there is an outcome, the end of the deadline included."""
        return self._outcome is not None or time.monotonic() >= self._ends_at

    def result(self) -> Message:
        """Wait for the reply and return it, or raise what the request came to."""
        self._done.wait(max(0.0, self._ends_at - time.monotonic()))
        self.settle(
            DeadlineExceededError(
                f"no reply to `{self.request.type}` came within {self.deadline_s:g} s",
                got=f"request {self.request.id}",
                fix="give a longer `deadline_s`, or see what the responder does",
            )
        )
        outcome = self._outcome
        if isinstance(outcome, Message):
            return outcome
        assert outcome is not None, "settled above"  # noqa: S101 - our own invariant
        raise outcome


@final
class Responder:
    """Who answers the requests of one type, in threads of its own.

    Attributes:
        type: which requests.
        answered: replies that reached the one who asked.
        late: replies that came after the deadline and were thrown away.
    """

    def __init__(self, type_: str, source: str, handler: Answer, *, threads: int = 1) -> None:
        check_function(handler, "a handler that answers")
        check_threads(threads)
        self.type: Final = type_
        self.source: Final = source
        self.answered = self.late = 0
        self.on_close: Callable[[Responder], object] = lambda _: None
        self._handler = handler
        self._calls: queue.Queue[Call | None] = queue.Queue(WAITING)
        self._lock = threading.Lock()
        self._is_closed = False
        self._threads = [
            threading.Thread(
                target=copy_context().run, args=(self._run,), name=f"bus {type_}", daemon=True
            )
            for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def take(self, call: Call) -> None:
        """Let a request wait for its turn; too many, or a closed responder, settle it at once."""
        with self._lock:
            if self._is_closed:
                call.settle(_closed(self.type))
                return
            try:
                self._calls.put_nowait(call)
            except queue.Full:
                call.settle(
                    RespondFailedError(
                        f"too many requests of `{self.type}` wait already",
                        got=f"{WAITING} of them",
                        fix="ask less, or respond with more `threads`",
                    )
                )

    def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Answer no more: requests that wait end in an error, those that run go on to their end."""
        self.on_close(self)
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            while not self._calls.empty():
                call = self._calls.get_nowait()
                if call is not None:
                    call.settle(_closed(self.type))
            for _ in self._threads:
                self._calls.put(None)
        ends_at = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, ends_at - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            if call.is_settled():
                continue  # nobody waits any more
            is_first = call.settle(self._outcome(call.request))
            with self._lock:
                self.answered += is_first
                self.late += not is_first

    def _outcome(self, request: Message) -> Message | BaseException:
        try:
            payload = self._handler(request)
        except OpenAutoGLMError as error:
            return error
        except BaseException as error:  # noqa: BLE001 - a handler's SystemExit ends no thread
            failed = RespondFailedError(
                f"who answers `{self.type}` failed",
                got=told(error),
                fix="see the cause below, or the log of the plugin",
            )
            failed.__cause__ = error
            return failed
        return self._reply(request, payload)

    def _reply(self, request: Message, answer: object) -> Message:
        given = answer if isinstance(answer, Message) else Message(self.type, self.source, answer)
        return Message(
            f"{self.type}.reply",
            self.source,
            given.payload,
            dataref=given.dataref,
            extensions={**(given.extensions or {}), REPLY_TO: request.id},
        )


def _closed(type_: str) -> BusClosedError:
    return BusClosedError(f"who answers `{type_}` was closed", fix="ask again when it is back")
