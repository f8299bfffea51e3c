"""The program of a worker process: it loads weights that it was lent and computes rows.

Owns `main`. The first thread listens; the thread of its backend computes and answers. It ends as
soon as the process that started it closes the line, or ends in whatever way.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, final

from openautoglm.engine import wire
from openautoglm.engine.backend import failed
from openautoglm.engine.backends.native.batch import told
from openautoglm.engine.backends.native.loading import load_lent
from openautoglm.engine.backends.native.processes import frames
from openautoglm.engine.backends.native.processes.frames import (
    Answer,
    Ask,
    Beat,
    Cancel,
    Failed,
    Ready,
    Start,
)
from openautoglm.engine.generation import Generation
from openautoglm.plugins.host import kernel
from openautoglm.plugins.wire import plain_error
from openautoglm.registry import start_no_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.engine.backend import Request
    from openautoglm.engine.backends.native.backend import NativeBackend
    from openautoglm.engine.backends.native.processes.frames import Down, Up

READ_BYTES: Final = 1 << 18
BEAT_S: Final = 0.1
"""A worker that decodes says so at most this often; a tenth of the least that is waited for it."""


def main(descriptor: int, parent: int) -> NoReturn:
    """Serve the process at the other end of a socket until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    start_no_plugins()
    code = 0
    try:
        _Servant(socket.socket(fileno=descriptor)).serve()
    except Exception:  # noqa: BLE001 - the exit code tells, and what it prints
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        os._exit(code)  # the thread that computes may be in the middle of a step


@final
class _Servant:
    """One line, one model, and the requests that are under way."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._under_way: dict[int, Request] = {}
        self._beaten_s = 0.0

    def serve(self) -> None:
        heard = self._heard()
        start = next(heard, None)
        backend = self._loaded(start) if isinstance(start, Start) else None
        if backend is None:
            return
        for message in heard:
            if isinstance(message, Ask):
                self._begin(backend, message)
            elif isinstance(message, Cancel):
                self._cancel(message.numbers)

    def _heard(self) -> Iterator[Down]:
        splitter = frames.Splitter()
        with suppress(ConnectionError):
            while data := self._line.recv(READ_BYTES):
                yield from map(frames.read_down, splitter.feed(data))

    def _loaded(self, start: Start) -> NativeBackend | None:
        try:
            backend, kernels = load_lent(frames.order_of(start.order), start.weights)
        except Exception as error:  # noqa: BLE001 - the parent is told, whatever it is
            self._say(Failed(plain_error(error)))
            return None
        backend.notice_steps(self._beat)
        self._say(Ready(kernels))
        return backend

    def _begin(self, backend: NativeBackend, ask: Ask) -> None:
        tell = self._telling(ask.number)
        try:
            request = frames.request_of(ask.request)
            self._under_way[ask.number] = request
            backend.begin(request, tell)
        except Exception as error:  # noqa: BLE001 - one bad row is no dead batch
            tell(failed(told(error), model=backend.describe().model))

    def _cancel(self, numbers: list[int]) -> None:
        for number in numbers:
            request = self._under_way.get(number)
            if request is not None:
                request.cancel.set()

    def _telling(self, number: int) -> Callable[[str | Generation], None]:
        def tell(new: str | Generation) -> None:
            if isinstance(new, Generation):
                self._under_way.pop(number, None)
                self._say(Answer(number, wire.plain_generation(new)))

        return tell

    def _beat(self) -> None:
        """Say, on the thread that decodes, that it made a step."""
        now_s = time.monotonic()
        if now_s - self._beaten_s >= BEAT_S:
            self._beaten_s = now_s
            self._say(Beat())

    def _say(self, message: Up) -> None:
        with self._lock, suppress(ConnectionError):
            self._line.sendall(frames.framed(message))
