"""Ports: where a message enters the bus and gets the source it has.

Owns the verbs (`emit`, `subscribe`, `consume`, `request`, `respond`) and `Channel`, which speaks as
one source and no other.

A channel guards against whoever holds it only where that one has nothing else: behind a process
boundary, where the host holds the channel and the plugin the other end of a socket. Code in the
same process can reach any object; in process, channels keep honest code from mistakes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Self, Unpack, final

from openautoglm.bus.delivery import CAPACITY, Subscription
from openautoglm.bus.message import Message, check
from openautoglm.bus.names import check_pattern, check_source, check_type
from openautoglm.bus.outbox import Consumer, Retry
from openautoglm.bus.requests import Call, Responder
from openautoglm.bus.verbs import DEADLINE_S, Options, attributes_of
from openautoglm.errors import (
    BusClosedError,
    BusDeniedError,
    InvalidParameterError,
    OutboxError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from openautoglm.bus.delivery import Handler
    from openautoglm.bus.hub import Hub
    from openautoglm.bus.permissions import PermissionTable, Verb
    from openautoglm.bus.requests import Answer

_LONGEST_DEADLINE_S: Final = 86_400.0


class Port(ABC):
    """The verbs of the bus, for one source.

    Attributes:
        source: what every message sent here is stamped with.
    """

    __slots__ = ("__weakref__", "_found", "_hub", "_opened", "_own", "_routes", "source")

    def __init__(self, hub: Hub, source: str) -> None:
        self.source: Final = source
        self._hub: Final = hub
        self._routes: Final = hub.routes(source)
        self._own: Final = self._routes.own  # one step less for `emit`
        self._found: Final = self._routes.found
        self._opened: list[Subscription | Consumer | Responder] = []

    @property
    @abstractmethod
    def speaks_for_others(self) -> bool:
        """Whether a message may claim a source that is not this port's."""

    @abstractmethod
    def _end_own(self) -> None:
        """End what only this kind of port has."""

    def emit(self, type_: str, event: object = None, /, **options: Unpack[Options]) -> Message:
        """Send a message to all who subscribed to its type, and return it.

        Never waits for a subscriber and never fails because of one.

        Args:
            type_: what happened, like `config.update`.
            event: the payload; or an envelope, a dict with a key `payload` and otherwise only
                `source` and further attributes of a message.
            **options: attributes of the message by name. `payload` is never taken for an
                envelope. `durable` stores the message before this returns. `source`
                must be this port's own, unless it is the bus itself.

        Raises:
            MessageError: the type or an attribute is not well formed.
            BusDeniedError: this source may not emit this type.
            SourceForgedError: the message claims the source of another.
            BusClosedError: the port is closed.
            OutboxError: a durable message could not be stored; nobody was handed it.
        """
        if options:
            return self._emit_with(type_, event, options)
        payload = event
        try:
            if isinstance(event, dict) and "payload" in event:
                # of an envelope that says more no route is known: "" is nobody's source
                source = event["source"] if len(event) == 2 else ""  # noqa: PLR2004 - and `payload`
                type_, source, takers = self._found[source][type_]
                payload = event["payload"]
            else:
                type_, source, takers = self._own[type_]
        except Exception:  # noqa: BLE001 - unknown, or a stranger's object raises when it is looked up
            return self._emit_with(type_, event, options)
        message = Message(type_, source, payload)
        for accept, subscription in takers:
            try:
                accept(message)
            except Exception as error:  # noqa: BLE001 - whatever a subscriber raises, the rest goes on
                subscription.note_failure(error, message)
        return message

    def publish(self, message: Message, *, durable: bool = False) -> Message:
        """Send a message that was made elsewhere, such as one that came over a socket.

        Raises as `emit`; the source it carries is held to be claimed.
        """
        check(message)
        self._claim(message.source, message.type)
        return self._send(message, durable=durable)

    def subscribe(
        self, pattern: str, handler: Handler, *, capacity: int = CAPACITY, inline: bool = False
    ) -> Subscription:
        """Hand messages of the types that `pattern` takes to a handler, in a thread of its own.

        Args:
            pattern: a type, or one with stars: `config.*`.
            handler: a function of the message, or an `async def`, which runs in the loop that
                runs now, or in one of its own.
            capacity: how many messages may wait; from a full queue the oldest is dropped.
            inline: call the handler from `emit`, in the emitter's thread: the fast way, for
                the host's own code that returns at once, since the emitter waits for it.

        Raises:
            BusDeniedError: this source may not subscribe to all of that, or not inline.
        """
        self._check(check_pattern(pattern), "subscribe")
        with self._hub.lock:
            self._refuse_closed()
            if inline and not self.speaks_for_others:
                self._hub.write("denied", source=self.source, verb="subscribe inline", type=pattern)
                raise BusDeniedError(
                    f"`{self.source}` may not subscribe inline",
                    got=pattern,
                    fix="leave out `inline`: only the host's own code may make emitters wait",
                )
            made = Subscription(pattern, handler, capacity=capacity, inline=inline)
            made.on_close = self._forget
            self._opened.append(made)
            self._hub.add(made)
            return made

    def consume(
        self,
        pattern: str,
        handler: Callable[[Message], object],
        *,
        name: str,
        retry: Retry | None = None,
    ) -> Consumer:
        """Hand durable messages to a handler, at least once, each until the handler returns.

        Messages stored while nobody consumes under this name wait, from the first time on that
        somebody did. Only messages emitted as `durable` come here.

        Args:
            pattern: a type, or one with stars.
            handler: a function of the message; its return acknowledges the message.
            name: under which the outbox remembers what was acknowledged; a channel's names are
                its own.
            retry: how often a message is tried before it is quarantined.

        Raises:
            BusDeniedError: this source may not subscribe to all of that.
            NameTakenError: the name is in use.
            OutboxError: the bus has no outbox, or it cannot be reached.
        """
        self._check(check_pattern(pattern), "subscribe")
        name = f"{self.source}/{check_source(name)}"
        feed = self._hub.outbox.feed(name, pattern)
        try:
            made = Consumer(
                name=name, pattern=pattern, feed=feed, handler=handler, retry=retry or Retry()
            )
            made.on_close = self._forget
            made.on_quarantine = self._note_quarantine
            with self._hub.lock:
                self._refuse_closed()
                self._opened.append(made)
                return made.start()
        except BaseException:
            feed.close()
            raise

    def request(
        self,
        type_: str,
        payload: object = None,
        *,
        deadline_s: float = DEADLINE_S,
        subject: str | None = None,
        dataref: str | None = None,
    ) -> Message:
        """Ask the one who answers a type, and return the reply.

        Raises:
            BusDeniedError: this source may not call this type.
            NoResponderError: nobody answers it.
            DeadlineExceededError: no reply came in time; the request may still have been handled.
            RespondFailedError: who answers failed or has too much to do. An error of this
                framework that was raised there is raised here as it is.
        """
        message = Message(type_, self.source, payload, subject=subject, dataref=dataref)
        return self.forward(message, deadline_s=deadline_s)

    def forward(self, message: Message, *, deadline_s: float) -> Message:
        """Ask with a request that was made elsewhere, and return the reply.

        Raises as `request`; the source it carries is held to be claimed.
        """
        check(message)
        self._claim(message.source, message.type)
        self._check(message.type, "call")
        if not 0 < deadline_s <= _LONGEST_DEADLINE_S:
            raise InvalidParameterError(
                "a deadline is some time from now", got=deadline_s, fix="give seconds, up to a day"
            )
        call = Call(message, deadline_s)
        self._hub.responder(message.type).take(call)
        return call.result()

    def respond(self, type_: str, handler: Answer, *, threads: int = 1) -> Responder:
        """Answer the requests of one type: what the handler returns is the reply's payload.

        Args:
            type_: which requests; no pattern.
            handler: a function of the request. It may return a `Message`, of which payload,
                dataref and extensions are taken.
            threads: how many requests may run at the same time.

        Raises:
            BusDeniedError: this source may not answer them.
            NameTakenError: another does.
        """
        self._check(check_type(type_), "respond")
        with self._hub.lock:
            self._refuse_closed()
            made = self._hub.add_responder(
                type_, lambda: Responder(type_, self.source, handler, threads=threads)
            )
            made.on_close = self._forget
            self._opened.append(made)
            return made

    def close(self) -> None:
        """End all that was opened here; then no verb works any more.

        Raises:
            OutboxError: the handler of a consumer does not return; all else is closed.
        """
        with self._hub.lock:
            self._routes.close()
            opened = list(self._opened)
        self._end_own()
        close_all(reversed(opened))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _emit_with(self, type_: str, event: object, options: Options) -> Message:
        attributes, durable = attributes_of(type_, event, options)
        source = attributes.setdefault("source", self.source)
        message = Message(**attributes)  # type: ignore[arg-type]  # `check` looks at them
        self._claim(source, message.type)
        check(message)
        return self._send(message, durable=durable)

    def _claim(self, source: object, type_: str) -> None:
        """Refuse the source that a message claims, unless it may have it."""
        if not self.speaks_for_others and (type(source) is not str or source != self.source):
            self._hub.refuse_forged(self.source, source, type_)

    def _send(self, message: Message, *, durable: bool) -> Message:
        type_, source = message.type, message.source
        route = self._found.get(source, {}).get(type_)
        if route is not None and not durable:
            _, _, takers = route
        else:
            self._refuse_closed()
            takers = self._hub.takers(self._routes, self.source, source, type_)
            is_stored = durable or self._hub.is_durable(type_)
            if is_stored and not self._hub.outbox.put(message):
                return message  # known already: whoever is to have it has it, or will
        for accept, subscription in takers:
            try:
                accept(message)
            except Exception as error:  # noqa: BLE001 - whatever a subscriber raises, the rest goes on
                subscription.note_failure(error, message)
        return message

    def _check(self, type_: str, verb: Verb) -> None:
        self._refuse_closed()
        self._hub.check(self.source, verb, type_)

    def _refuse_closed(self) -> None:
        if self._routes.is_closed:
            raise BusClosedError(f"the channel of `{self.source}` is closed", fix="open another")

    def _forget(self, one: Subscription | Consumer | Responder) -> None:
        with self._hub.lock:
            if one in self._opened:
                self._opened.remove(one)
            if isinstance(one, Subscription):
                self._hub.remove(one)
            elif isinstance(one, Responder):
                self._hub.remove_responder(one)

    def _note_quarantine(self, consumer: Consumer, message: Message, reason: str) -> None:
        self._hub.write(
            "quarantined",
            consumer=consumer.name,
            source=message.source,
            type=message.type,
            id=message.id,
            reason=reason,
        )


def close_all(ones: Iterable[Port | Subscription | Consumer | Responder]) -> None:
    """Close all, also where one cannot; then raise its error."""
    failed: OutboxError | None = None
    for one in ones:
        try:
            one.close()
        except OutboxError as error:  # its handler hangs
            failed = error
    if failed is not None:
        raise failed


@final
class Channel(Port):
    """The bus as one source has it: nothing is allowed but what its permissions say.

    Made by `Bus.channel`; closing it takes its permissions back.
    """

    __slots__ = ("_on_close",)

    def __init__(self, hub: Hub, source: str, on_close: Callable[[], object]) -> None:
        super().__init__(hub, source)
        self._on_close = on_close

    def hold(self, table: PermissionTable, verb: Verb, type_: str) -> None:
        """Raise BusDeniedError, and audit it, unless a table allows this source something too."""
        if not table.allows(self.source, verb, type_):
            self._hub.refuse(self.source, verb, type_, table=table)

    @property
    def speaks_for_others(self) -> bool:
        """Never."""
        return False

    def _end_own(self) -> None:
        self._on_close()
