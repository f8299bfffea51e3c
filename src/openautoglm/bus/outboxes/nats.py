"""An outbox in a NATS server, through JetStream: for several hosts, which may share a consumer.

Messages known by `(source, id)` are told apart within `known_s`. A message handled for longer than
`again_s`, or whose consumer died, is handed over again, to any who consumes under the name. The
first message a name sees is the first stored after it was opened first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, final

import msgspec

from openautoglm.bus.message import Message
from openautoglm.bus.names import matcher
from openautoglm.bus.outbox import Claim, Quarantined
from openautoglm.errors import BusClosedError, InvalidParameterError, MessageError, OutboxError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

T = TypeVar("T")

AGAIN_S: Final = 30.0
KNOWN_S: Final = 3600.0
KEEP_S: Final = 7 * 86_400.0
TIMEOUT_S: Final = 5.0

_SLICE_S: Final = 0.25  # of a wait, so that `wake` and `close` are heard
_log: Final = logging.getLogger("openautoglm.bus")


class _Aside(msgspec.Struct):
    message: msgspec.Raw
    reason: str


@final
class NatsOutbox:
    """Keep durable messages in a JetStream stream.

    Owns a thread for its connection until it is closed.

    Args:
        url: of the server, `nats://host:4222`, with credentials if it wants some.
        stream: name of the stream, made where there is none; its subjects start with it.
        again_s: how long a handler may take before its message is handed over again.
        known_s: how long a message is remembered to know its like again.
        keep_s: how long messages are kept, handled or not.
        timeout_s: how long the server may take to answer.

    Raises:
        MissingExtraError: `nats-py` is not installed.
        OutboxError: the server cannot be reached, or has a stream of that name that is not ours.
    """

    def __init__(
        self,
        url: str,
        *,
        stream: str = "openautoglm",
        again_s: float = AGAIN_S,
        known_s: float = KNOWN_S,
        keep_s: float = KEEP_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if not stream.replace("-", "").replace("_", "").isalnum():
            raise InvalidParameterError(
                "a stream is named with letters, digits, - and _", got=stream, fix="rename it"
            )
        self._nats = need("nats", extra="nats", why="an outbox in NATS")
        self._api = need("nats.js.api", extra="nats", why="an outbox in NATS")
        self._js_errors = need("nats.js.errors", extra="nats", why="an outbox in NATS")
        self.stream: Final = stream
        self.again_s: Final = again_s
        self._url = url
        self._known_s, self._keep_s, self._timeout_s = known_s, keep_s, timeout_s
        self._lock = threading.Lock()
        self._is_closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"bus {stream}", daemon=True
        )
        self._thread.start()
        try:
            self.run(self._connect())
        except BaseException:
            self._stop()
            raise

    def put(self, message: Message) -> bool:
        """Store a message; see `Outbox`."""
        self._refuse_closed()
        key = hashlib.sha256(f"{message.source}\0{message.id}".encode()).hexdigest()
        subject = f"{self.stream}.message.{message.type}"
        body = message.to_json()
        stored = self.run(self._js.publish(subject, body, headers={"Nats-Msg-Id": key}))
        return not stored.duplicate

    def feed(self, consumer: str, pattern: str) -> NatsFeed:
        """Open a consumer, which others may have open too; see `Outbox`."""
        takes = matcher(pattern)
        self._refuse_closed()
        name = _token(consumer)
        subscription = self.run(self._subscribe(name, _subject(self.stream, pattern)))
        return NatsFeed(self, name, takes, subscription)

    def quarantined(self, consumer: str) -> tuple[Quarantined, ...]:
        """Return what was set aside; see `Outbox`."""
        self._refuse_closed()
        bodies = self.run(self._read(f"{self.stream}.quarantine.{_token(consumer)}"))
        found = (msgspec.json.decode(body, type=_Aside) for body in bodies)
        return tuple(
            Quarantined(message=Message.from_json(bytes(one.message)), reason=one.reason)
            for one in found
        )

    def close(self) -> None:
        """Let go of the server; messages stay there."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        try:
            self.run(self._connection.close())
        finally:
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, work: Coroutine[object, object, T], *, more_s: float = 0.0) -> T:
        """Run a coroutine in the connection's thread, wording what goes wrong."""
        limit_s = self._timeout_s + more_s
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, limit_s), self._loop)
        try:
            return future.result()
        except (self._nats.errors.Error, OSError, TimeoutError) as cause:
            raise OutboxError(
                "NATS did not do what was asked of it",
                got=f"{self._url.rpartition('@')[2]}: {cause or type(cause).__name__}",
                fix="see that the server runs, with JetStream, and that this host may use it",
            ) from cause

    def is_timeout(self, error: BaseException) -> bool:
        """Return whether a fetch found nothing."""
        return isinstance(error, self._nats.errors.TimeoutError)

    async def set_aside(self, name: str, body: bytes) -> None:
        """Store a quarantined message."""
        await self._js.publish(f"{self.stream}.quarantine.{name}", body)

    async def _connect(self) -> None:
        async def note(error: Exception) -> None:
            _log.warning("NATS: %s", error)

        self._connection = await self._nats.connect(
            self._url, error_cb=note, max_reconnect_attempts=-1, allow_reconnect=True
        )
        self._js = self._connection.jetstream(timeout=self._timeout_s)
        await self._js.add_stream(
            name=self.stream,
            subjects=[f"{self.stream}.message.>", f"{self.stream}.quarantine.>"],
            duplicate_window=self._known_s,
            max_age=self._keep_s,
        )

    async def _subscribe(self, name: str, subject: str) -> object:
        try:
            config = (await self._js.consumer_info(self.stream, name)).config
        except self._js_errors.NotFoundError:
            config = self._api.ConsumerConfig(
                name=name,
                durable_name=name,
                deliver_policy=self._api.DeliverPolicy.NEW,
                ack_wait=self.again_s,
                max_deliver=-1,
            )
        if config.filter_subject != subject:
            config.filter_subject = subject
            await self._js.add_consumer(self.stream, config)
        return await self._js.pull_subscribe_bind(durable=name, stream=self.stream)

    async def _read(self, subject: str) -> list[bytes]:
        bodies, seq = [], 1
        try:
            while True:
                found = await self._js.get_msg(self.stream, seq=seq, subject=subject, next=True)
                bodies.append(found.data)
                seq = found.seq + 1
        except self._js_errors.NotFoundError:
            return bodies

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise BusClosedError("the outbox is closed", fix="open it again")

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@final
class NatsFeed:
    """The messages of one consumer; see `Feed`. Made by `NatsOutbox.feed`."""

    def __init__(
        self,
        outbox: NatsOutbox,
        name: str,
        takes: Callable[[str], bool],
        subscription: Any,  # noqa: ANN401 - of a package that need not be there
    ) -> None:
        self._outbox = outbox
        self._name = name
        self._takes = takes
        self._subscription = subscription
        self._held: dict[int, Any] = {}
        self._is_woken = False

    def next(self, timeout_s: float) -> Claim | None:
        """Return the next message that is due."""
        ends_at = time.monotonic() + timeout_s
        while not self._is_woken and (left := ends_at - time.monotonic()) > 0:
            fetched = self._outbox.run(self._fetch(min(left, _SLICE_S)), more_s=_SLICE_S)
            if fetched is None:
                continue
            try:
                message = Message.from_json(fetched.data)
            except MessageError as error:  # somebody else writes into our subjects
                _log.error("what came from NATS is no message and is thrown away: %s", error)
                self._outbox.run(fetched.ack_sync())
                continue
            if self._takes(message.type):
                self._held[fetched.metadata.sequence.stream] = fetched
                return Claim(
                    message=message,
                    attempt=fetched.metadata.num_delivered,
                    token=fetched.metadata.sequence.stream,
                )
            self._outbox.run(fetched.ack_sync())
        self._is_woken = False
        return None

    def ack(self, claim: Claim) -> None:
        """Take note that the message was handled."""
        self._outbox.run(self._release(claim).ack_sync())

    def retry(self, claim: Claim, delay_s: float) -> None:
        """Give the message back."""
        self._outbox.run(self._release(claim).nak(delay=delay_s))

    def quarantine(self, claim: Claim, reason: str) -> None:
        """Set the message aside."""
        body = msgspec.json.encode(_Aside(msgspec.Raw(claim.message.to_json()), reason))
        self._outbox.run(self._outbox.set_aside(self._name, body))
        self.ack(claim)

    def wake(self) -> None:
        """Let `next` return soon."""
        self._is_woken = True

    def close(self) -> None:
        """Let go of the server; what was fetched and not acknowledged is due again."""
        self._outbox.run(self._give_back())

    async def _fetch(self, timeout_s: float) -> Any:  # noqa: ANN401 - the package's message
        try:
            (fetched,) = await self._subscription.fetch(1, timeout=timeout_s)
        except Exception as error:
            if self._outbox.is_timeout(error):
                return None
            raise
        return fetched

    async def _give_back(self) -> None:
        for held in self._held.values():
            await held.nak()
        self._held.clear()
        await self._subscription.unsubscribe()

    def _release(self, claim: Claim) -> Any:  # noqa: ANN401 - the package's message
        return self._held.pop(int(str(claim.token)))


def _token(consumer: str) -> str:
    """Return a name that NATS takes and that no other consumer has."""
    return hashlib.sha256(consumer.encode()).hexdigest()[:32]


def _subject(stream: str, pattern: str) -> str:
    """Return the narrowest subject that takes at least what a pattern takes."""
    literal, star, _ = pattern.partition("*")
    if not star:
        return f"{stream}.message.{pattern}"
    parts = literal.rpartition(".")[0]
    return f"{stream}.message.{parts}.>" if parts else f"{stream}.message.>"
