"""A sleep that ends early: when a thread asks for it, or a signal arrives.

Owns `Waker` and `heeding`. Knows nothing of what is woken.
"""

from __future__ import annotations

import selectors
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType


@final
class Waker:
    """One sleeper; anybody may wake it, handlers of signals too, who must not take locks."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ours, selectors.EVENT_READ)

    def wait(self, seconds: float) -> None:
        """Sleep, or return at once if somebody called `wake` since the last time."""
        if self._selector.select(max(0.0, seconds)):
            with suppress(BlockingIOError):
                while self._ours.recv(4096):
                    pass

    def wake(self) -> None:
        """End the sleep."""
        with suppress(OSError):  # it has been woken often enough, or is closed
            self._theirs.send(b"\0")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._selector.close()
        self._ours.close()
        self._theirs.close()


@contextmanager
def heeding(handlers: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """Call a function when a signal arrives, inside the block; in the main thread alone.

    Args:
        handlers: by the signal's name; one that this platform lacks is left out.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = {getattr(signal, name): act for name, act in handlers.items() if hasattr(signal, name)}
    before = {number: signal.signal(number, _calling(act)) for number, act in known.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _calling(act: Callable[[], None]) -> Callable[[int, object], None]:
    return lambda *_: act()
