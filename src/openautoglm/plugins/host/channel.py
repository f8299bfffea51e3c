"""One line into a worker: a request goes, its reply comes, one at a time.

Owns `Channel`. The thread that calls is the one that waits; no other thread comes between. Knows
nothing of pools, retries and supervision.
"""

from __future__ import annotations

import itertools
import select
import socket
import time
from typing import Final, Protocol, final

from openautoglm.errors import OpenAutoGLMError, PluginProtocolError
from openautoglm.plugins.host.exchange import Codec, Exchange
from openautoglm.plugins.host.frames import PACKET, Answer, Ask, Reply, Request, error_of, malformed

_numbers: Final = itertools.count(1)  # of requests to any worker: a cancellation names but one


class Owner(Protocol):
    """The worker behind a channel."""

    @property
    def said(self) -> str:
        """Plugin and version, for messages."""

    @property
    def state(self) -> str:
        """It serves while this is "ready"."""

    def kill(self, reason: str) -> None:
        """End it."""

    def kill_soon(self, reason: str) -> None:
        """End it unless it is dead by then."""

    def cancel(self, number: int) -> None:
        """Tell it that nobody waits for a call."""

    def shut(self, number: int) -> None:
        """Tell it that nobody reads a stream."""

    def await_obituary(self) -> str:
        """Return why it died."""


class WorkerGoneError(Exception):
    """The worker died, or can no longer be believed.

    Attributes:
        begun: whether it may have begun the call.
        cause: what it answered instead of an answer, if it did.
    """

    def __init__(self, *, begun: bool, cause: OpenAutoGLMError | None = None) -> None:
        super().__init__()
        self.begun = begun
        self.cause = cause


class OverdueError(Exception):
    """No answer came in time; the worker may still be at it."""


@final
class Channel:
    """The host's end of one SOCK_SEQPACKET pair.

    Attributes:
        worker: whose it is.
        is_dead: the worker is dead; the pool closes the channel when nobody is in it.
        is_lost: nobody waits in it, and it is not free.
        number: of the request made last.
    """

    def __init__(self, end: socket.socket, exchange: Exchange, worker: Owner) -> None:
        self.worker = worker
        self.is_dead = False
        self.is_lost = True
        self.number = 0
        self._socket = end
        self._codec = Codec(exchange, Reply)
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def ask(
        self,
        kind: Ask,
        names: tuple[str, str],
        args: tuple[list[object], dict[str, object]],
        deadline: float,
    ) -> tuple[Answer, object]:
        """Make one request and return its answer; an error is raised where it came.

        Raises:
            WorkerGoneError: it died, or answered with what is no answer.
            OverdueError: nothing came before `deadline` (of `time.monotonic`).
            OpenAutoGLMError: the error that the plugin raised, or a value that cannot cross.
        """
        self.send(kind, names, args)
        return self.receive(names, deadline)

    def send(
        self, kind: Ask, names: tuple[str, str], args: tuple[list[object], dict[str, object]]
    ) -> None:
        """Make a request; errors as `ask`."""
        self.number = number = next(_numbers)
        data = self._codec.encode(Request(kind, number, *names, *args, []))
        try:
            self._socket.send(data)
        except OSError as cause:
            raise WorkerGoneError(begun=False) from cause

    def receive(self, names: tuple[str, str], deadline: float) -> tuple[Answer, object]:
        """Return the answer to the request made last; errors as `ask`."""
        reply = self._awaited(self.number, deadline)
        if reply.kind is Answer.ERROR:
            raise error_of(reply.value, f"`{names[1]}` of {names[0]} ({self.worker.said})")
        return reply.kind, reply.value

    def _awaited(self, number: int, deadline: float) -> Reply:
        while True:
            left_ms = (deadline - time.monotonic()) * 1e3
            if left_ms <= 0 or not self._poll.poll(left_ms):
                raise OverdueError
            reply = self._received()
            if reply.number == number:
                return reply
            if reply.number == 0 and reply.kind is Answer.ERROR:
                raise error_of(reply.value, self.worker.said)  # it could not read the request

    def _received(self) -> Reply:
        try:
            data = self._socket.recv(PACKET + 1)
        except OSError as cause:
            raise WorkerGoneError(begun=True) from cause
        if not data:
            raise WorkerGoneError(begun=True)
        try:
            if len(data) > PACKET:
                raise malformed(f"an answer of more than {PACKET} bytes in one piece")
            return self._codec.decode(data)
        except PluginProtocolError as cause:
            raise WorkerGoneError(begun=True, cause=cause) from cause

    def fileno(self) -> int:
        """Return the descriptor, to wait for a reply that nobody waits for."""
        return self._socket.fileno()

    def skip(self) -> bool:
        """Read a late reply; return whether it was the last one asked for."""
        try:
            return self._received().number == self.number
        except OpenAutoGLMError:
            return True  # a reply with a stale array is a reply

    def hang_up(self) -> None:
        """Wake whoever waits here: there will be no more."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other end was first

    def close(self) -> None:
        """Close it; nobody is in it."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            self._codec.close()
