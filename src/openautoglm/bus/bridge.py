"""A channel of the host's bus, at the other end of a socket.

Owns `Attachment`, the host's end, which holds the channel, and `RemotePort`, the plugin's end,
which has the same verbs. The boundary is the host's end: it stamps, permits and audits whatever
comes, also from a worker that does not use `RemotePort` but writes into the socket what it likes.
"""

from __future__ import annotations

import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, Unpack, final

from openautoglm.bus.delivery import CAPACITY, Subscription, check_function
from openautoglm.bus.message import Message
from openautoglm.bus.permissions import PermissionTable
from openautoglm.bus.requests import check_threads
from openautoglm.bus.verbs import DEADLINE_S, Opened, Options, attributes_of
from openautoglm.bus.wire import Ask, Peer, Tell
from openautoglm.errors import (
    BusClosedError,
    BusDeniedError,
    InvalidParameterError,
    MessageError,
    OutboxError,
    RespondFailedError,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from openautoglm.bus.delivery import Handler
    from openautoglm.bus.outbox import Retry
    from openautoglm.bus.permissions import Verb
    from openautoglm.bus.ports import Channel
    from openautoglm.bus.requests import Answer

MAX_OPENED: Final = 256  # subscriptions, consumers and responders of one worker
MAX_REQUESTS: Final = 16  # of one worker at a time
MAX_CAPACITY: Final = 65_536
MAX_THREADS: Final = 16

_log: Final = logging.getLogger("openautoglm.bus")


@final
class Attachment:
    """The host's end: does on a channel what a worker asks for.

    Has a thread, and up to 16 for requests, until it is closed or the worker ends. What the worker
    opened is closed with it, the channel is not.

    Args:
        channel: of the plugin.
        connection: to the worker.
        permissions: of this worker, beside those of the channel: both must allow what it does.
            None where the channel's are enough.
    """

    def __init__(
        self,
        channel: Channel,
        connection: socket.socket,
        *,
        permissions: Iterable[str] | None = None,
    ) -> None:
        self._channel = channel
        self._own = None
        if permissions is not None:
            self._own = PermissionTable.of({channel.source: permissions})
        self._opened: dict[int, Opened] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix=f"bus {channel.source}")
        self._free = threading.Semaphore(MAX_REQUESTS)
        self._peer = Peer(connection, serve=self._serve, hear=lambda _: None, ended=self._close_all)
        self._peer.start()

    def close(self) -> None:
        """End the connection and all that the worker opened."""
        self._peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self, ask: Ask) -> None:
        if ask.verb != "request":
            self._peer.answer(ask, lambda: self._do(ask))
        elif self._free.acquire(blocking=False):
            self._pool.submit(self._request, ask)
        else:
            self._peer.answer(ask, _refuse_request)

    def _request(self, ask: Ask) -> None:
        try:
            self._peer.answer(ask, lambda: self._reply(ask))
        finally:
            self._free.release()

    def _reply(self, ask: Ask) -> bytes:
        request = Message.from_json(ask.message)
        self._hold("call", request.type)
        return self._channel.forward(request, deadline_s=ask.deadline_s).to_json()

    def _do(self, ask: Ask) -> bytes:
        match ask.verb:
            case "emit":
                message = Message.from_json(ask.message)
                self._hold("emit", message.type)
                self._channel.publish(message, durable=ask.durable)
            case "subscribe" | "consume" | "respond":
                self._hold("respond" if ask.verb == "respond" else "subscribe", ask.what)
                with self._lock:
                    self._refuse_handle(ask.handle)
                    self._opened[ask.handle] = self._open(ask)
            case "close":
                with self._lock:
                    opened = self._opened.pop(ask.handle, None)
                if opened is not None:
                    opened.close()
            case _:
                raise MessageError("the bus has no such verb", got=ask.verb[:100])
        return b""

    def _hold(self, verb: Verb, type_: str) -> None:
        if self._own is not None:
            self._channel.hold(self._own, verb, type_)

    def _open(self, ask: Ask) -> Opened:
        handle, channel = ask.handle, self._channel
        if ask.verb == "subscribe":
            capacity = max(1, min(ask.count, MAX_CAPACITY))
            return channel.subscribe(
                ask.what, lambda m: self._peer.tell(handle, m.to_json()), capacity=capacity
            )
        if ask.verb == "consume":
            return channel.consume(
                ask.what, lambda m: self._deliver(handle, m), name=ask.name, retry=ask.retry
            )
        threads = max(1, min(ask.count, MAX_THREADS))
        return channel.respond(
            ask.what, lambda m: Message.from_json(self._deliver(handle, m)), threads=threads
        )

    def _deliver(self, handle: int, message: Message) -> bytes:
        return self._peer.ask("deliver", handle=handle, message=message.to_json())

    def _refuse_handle(self, handle: int) -> None:
        if handle in self._opened or len(self._opened) >= MAX_OPENED:
            raise InvalidParameterError(
                "a worker cannot open that",
                got=f"handle {handle}, {len(self._opened)} are open",
                fix=f"open at most {MAX_OPENED}, each under a number of its own",
            )

    def _close_all(self) -> None:
        with self._lock:
            opened, self._opened = list(self._opened.values()), {}
        for one in opened:
            try:
                one.close()
            except OutboxError:
                _log.exception("what a worker of `%s` opened does not end", self._channel.source)
        self._pool.shutdown(wait=False)


@final
class RemotePort:
    """The plugin's end: the verbs of a channel whose host is another process.

    Each verb waits for the host's answer, so that what was refused is raised here. A worker makes
    it the port of its process: `bus.use(RemotePort(connection, source))`.

    Attributes:
        source: what the host stamps on messages sent here.
    """

    def __init__(self, connection: socket.socket, source: str) -> None:
        self.source: Final = source
        self._handles = itertools.count(1)
        self._heard: dict[int, Subscription] = {}
        self._served: dict[int, _Served] = {}
        self._peer = Peer(connection, serve=self._serve, hear=self._hear)
        self._peer.start()

    def emit(self, type_: str, event: object = None, /, **options: Unpack[Options]) -> Message:
        """Send a message; see `Port.emit`."""
        attributes, durable = attributes_of(type_, event, options)
        attributes.setdefault("source", self.source)
        message = Message(**attributes)  # type: ignore[arg-type]  # `to_json` looks at them
        self._peer.ask("emit", message=message.to_json(), durable=durable)
        return message

    def subscribe(
        self, pattern: str, handler: Handler, *, capacity: int = CAPACITY, inline: bool = False
    ) -> Subscription:
        """Hear messages; see `Port.subscribe`."""
        if inline:
            raise BusDeniedError(
                f"`{self.source}` may not subscribe inline", got=pattern, fix="leave out `inline`"
            )
        made, handle = Subscription(pattern, handler, capacity=capacity), next(self._handles)
        self._heard[handle] = made
        try:
            self._peer.ask("subscribe", what=pattern, handle=handle, count=capacity)
        except BaseException:
            del self._heard[handle]
            made.close()
            raise
        made.on_close = lambda _: self._forget(handle)
        return made

    def consume(
        self,
        pattern: str,
        handler: Callable[[Message], object],
        *,
        name: str,
        retry: Retry | None = None,
    ) -> Opened:
        """Hear durable messages; see `Port.consume`."""
        return self._open("consume", pattern, handler, name=name, retry=retry)

    def request(
        self,
        type_: str,
        payload: object = None,
        *,
        deadline_s: float = DEADLINE_S,
        subject: str | None = None,
        dataref: str | None = None,
    ) -> Message:
        """Ask; see `Port.request`."""
        message = Message(type_, self.source, payload, subject=subject, dataref=dataref)
        body = self._peer.ask("request", message=message.to_json(), deadline_s=deadline_s)
        return Message.from_json(body)

    def respond(self, type_: str, handler: Answer, *, threads: int = 1) -> Opened:
        """Answer; see `Port.respond`."""
        return self._open("respond", type_, handler, threads=threads)

    def close(self) -> None:
        """End the connection and all that was opened here."""
        self._peer.close()
        for subscription in list(self._heard.values()):
            subscription.close()
        for served in list(self._served.values()):
            served.close()

    def _open(
        self,
        verb: str,
        what: str,
        handler: Callable[[Message], object],
        *,
        threads: int = 1,
        name: str = "",
        retry: Retry | None = None,
    ) -> Opened:
        check_function(handler, "a handler that answers")
        check_threads(threads)
        handle = next(self._handles)
        made = _Served(handler, self.source, threads, lambda: self._forget(handle))
        self._served[handle] = made
        try:
            self._peer.ask(verb, what=what, handle=handle, count=threads, name=name, retry=retry)
        except BaseException:
            made.close()
            raise
        return made

    def _serve(self, ask: Ask) -> None:
        served = self._served.get(ask.handle)
        if served is None:
            self._peer.answer(ask, lambda: _no_handle(ask))
        else:
            served.pool.submit(self._peer.answer, ask, lambda: served.run(ask.message))

    def _hear(self, tell: Tell) -> None:
        subscription = self._heard.get(tell.handle)
        if subscription is not None:
            subscription.accept(Message.from_json(tell.message))

    def _forget(self, handle: int) -> None:
        if (self._heard.pop(handle, None) or self._served.pop(handle, None)) is not None:
            with suppress(BusClosedError):  # closed there too
                self._peer.ask("close", handle=handle)


@final
class _Served:
    """A handler of the worker's that answers the host, in threads of its own."""

    def __init__(
        self,
        handler: Callable[[Message], object],
        source: str,
        threads: int,
        forget: Callable[[], object],
    ) -> None:
        self.pool: Final = ThreadPoolExecutor(threads, thread_name_prefix="bus")
        self._handler, self._source, self._forget = handler, source, forget

    def run(self, message: bytes) -> bytes:
        """Return what the handler answers, as a message whose source the host stamps."""
        request = Message.from_json(message)
        answer = self._handler(request)
        if not isinstance(answer, Message):
            answer = Message(request.type, self._source, answer)
        return answer.to_json()

    def close(self) -> None:
        """Answer no more."""
        self._forget()
        self.pool.shutdown(wait=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _refuse_request() -> bytes:
    raise RespondFailedError(
        "a worker asks too much at the same time",
        got=f"{MAX_REQUESTS} requests wait for their replies",
        fix="wait for some of them",
    )


def _no_handle(ask: Ask) -> bytes:
    raise RespondFailedError("nobody answers here any more", got=f"handle {ask.handle}")
