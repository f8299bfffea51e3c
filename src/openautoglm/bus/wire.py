"""Frames between a host and a worker over a stream socket, both ways at the same time.

Owns `Peer`: whoever is at one end. Knows nothing of what is asked.

Guards against an end that sends nonsense or too much at once: the connection is closed. Does not
guard against one that does not read: who sends to it waits, until the connection is closed.
"""

from __future__ import annotations

import itertools
import logging
import socket
import struct
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm import errors
from openautoglm.bus.message import MAX_MESSAGE_BYTES
from openautoglm.bus.outbox import Retry  # noqa: TC001 - msgspec reads the types of the fields
from openautoglm.bus.words import shown, told, written
from openautoglm.errors import BusClosedError, MessageError, OpenAutoGLMError, RespondFailedError
from openautoglm.errors.passing import let_pass, passes_after_s

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_FRAME_BYTES: Final = MAX_MESSAGE_BYTES + (1 << 16)

_LENGTH: Final = struct.Struct(">I")
_CODES: Final = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, OpenAutoGLMError)
}
_log: Final = logging.getLogger("openautoglm.bus")


class Ask(msgspec.Struct, tag="ask", kw_only=True, omit_defaults=True):
    """A verb that wants an answer.

    Attributes:
        number: of the answer.
        verb: `emit`, `subscribe`, `consume`, `request`, `respond` or `close` to the host; to the
            worker, `deliver`.
        what: a type or pattern.
        message: as JSON.
        handle: of a subscription, consumer or responder; chosen by the worker.
    """

    number: int
    verb: str
    what: str = ""
    message: bytes = b""
    handle: int = 0
    name: str = ""
    durable: bool = False
    deadline_s: float = 0.0
    count: int = 1
    retry: Retry | None = None


class Answer(msgspec.Struct, tag="answer", kw_only=True, omit_defaults=True):
    """What became of an ask: a message, nothing, or an error (code, problem, got, fix).

    With an error, `passes_after_s` is that of `errors.passing`.
    """

    number: int
    message: bytes = b""
    error: tuple[str, str, str, str] | None = None
    passes_after_s: float | None = None


class Tell(msgspec.Struct, tag="tell", kw_only=True):
    """A message for a subscription; wants no answer."""

    handle: int
    message: bytes


@final
class Peer:
    """One end of a connection, with a thread that reads it.

    Args:
        connection: a connected stream socket; closed with the peer.
        serve: is given every ask, in the reading thread; it answers, now or later.
        hear: is given every tell, in the reading thread.
        ended: is called when the connection has ended, in the reading thread.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        serve: Callable[[Ask], object],
        hear: Callable[[Tell], object],
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        connection.settimeout(None)
        self._connection = connection
        self._serve, self._hear, self._ended = serve, hear, ended
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._pending: dict[int, Future[bytes]] = {}
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="bus wire", daemon=True)

    def start(self) -> None:
        """Start to read; `close` ends it."""
        self._thread.start()

    def ask(self, verb: str, **fields: object) -> bytes:
        """Ask, wait for the answer, and return its message.

        Raises:
            BusClosedError: the connection has ended.
            OpenAutoGLMError: the error of the other end, as it is there.
        """
        future: Future[bytes] = Future()
        number = next(self._numbers)
        with self._lock:
            if self._is_closed:
                raise _ended()
            self._pending[number] = future
        self._send(Ask(number=number, verb=verb, **fields))  # type: ignore[arg-type]  # fields of Ask
        return future.result()

    def answer(self, ask: Ask, work: Callable[[], bytes]) -> None:
        """Do the work that was asked for and answer with what comes of it."""
        try:
            answer = Answer(number=ask.number, message=work())
        except OpenAutoGLMError as error:
            answer = _failed(ask, error)
        except BaseException as error:  # noqa: BLE001 - a handler's SystemExit is an answer too
            failed = RespondFailedError(
                "a handler failed", got=told(error), fix="catch it in the handler"
            )
            failed.__cause__ = error
            answer = _failed(ask, failed)
        with suppress(BusClosedError):  # nobody waits for it any more
            self._send(answer)

    def tell(self, handle: int, message: bytes) -> None:
        """Send a message to a subscription; errors as `ask`."""
        self._send(Tell(handle=handle, message=message))

    def close(self) -> None:
        """End the connection; whoever waits for an answer is told."""
        self._end()
        if self._thread is not threading.current_thread() and self._thread.ident is not None:
            self._thread.join()
        self._connection.close()

    def _send(self, frame: Ask | Answer | Tell) -> None:
        body = msgspec.msgpack.encode(frame)
        try:
            with self._sending:
                self._connection.sendall(_LENGTH.pack(len(body)) + body)
        except OSError as cause:
            self._end()
            raise _ended() from cause

    def _run(self) -> None:
        try:
            while (frame := self._read()) is not None:
                if isinstance(frame, Answer):
                    self._settle(frame)
                elif isinstance(frame, Ask):
                    self._serve(frame)
                else:
                    self._hear(frame)
        except (OSError, MessageError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if not self._is_closed:
                _log.warning("the other end of the bus sent nonsense: %s", error)
        finally:
            self._end()
            self._ended()

    def _read(self) -> Ask | Answer | Tell | None:
        head = self._receive(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME_BYTES:
            raise MessageError("a frame is too large", got=f"{length} bytes")
        body = self._receive(length)
        return None if body is None else msgspec.msgpack.decode(body, type=Ask | Answer | Tell)

    def _receive(self, length: int) -> bytes | None:
        """Return so many bytes, or None at the end of the connection."""
        parts = bytearray()
        while len(parts) < length:
            part = self._connection.recv(min(length - len(parts), 1 << 16))
            if not part:
                return None
            parts += part
        return bytes(parts)

    def _settle(self, answer: Answer) -> None:
        with self._lock:
            future = self._pending.pop(answer.number, None)
        if future is None:
            return
        if answer.error is None:
            future.set_result(answer.message)
        else:
            code, problem, got, fix = answer.error
            kind = _CODES.get(code, RespondFailedError)
            error = kind(problem, got=got or None, fix=fix or None)
            let_pass(error, answer.passes_after_s)
            future.set_exception(error)

    def _end(self) -> None:
        with self._lock:
            self._is_closed = True
            pending = list(self._pending.values())
            self._pending.clear()
        with suppress(OSError):  # ended already
            self._connection.shutdown(socket.SHUT_RDWR)
        for future in pending:
            future.set_exception(_ended())


def _failed(ask: Ask, error: OpenAutoGLMError) -> Answer:
    return Answer(number=ask.number, error=_worded(error), passes_after_s=passes_after_s(error))


def _worded(error: OpenAutoGLMError) -> tuple[str, str, str, str]:
    got = error.got if isinstance(error.got, str) else shown(error.got)
    got = "" if error.got is None else written(got)
    return error.code, written(error.problem), got, written(error.fix or "")


def _ended() -> BusClosedError:
    return BusClosedError("the connection to the bus has ended", fix="see the log of the host")
