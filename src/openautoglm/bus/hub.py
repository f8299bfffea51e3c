"""The state that all channels of one bus share: who subscribed, who answers, who may do what.

Owns `Hub`. Knows nothing of how a message is made.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, NoReturn, final
from weakref import WeakSet

from openautoglm.bus.names import check_type, matcher
from openautoglm.bus.words import shown
from openautoglm.errors import (
    BusClosedError,
    BusDeniedError,
    NameTakenError,
    NoResponderError,
    OutboxError,
    SourceForgedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openautoglm.bus.audit import AuditLog
    from openautoglm.bus.delivery import Subscription
    from openautoglm.bus.message import Message
    from openautoglm.bus.outbox import Outbox
    from openautoglm.bus.permissions import PermissionTable, Verb
    from openautoglm.bus.requests import Responder

    Takers = tuple[tuple[Callable[[Message], object], Subscription], ...]
    Route = tuple[str, str, Takers]
    """The type and the source that a message is stamped with, and who takes it."""

MAX_ROUTES: Final = 4096  # a channel remembers; a stranger may emit any number of types

_log: Final = logging.getLogger("openautoglm.bus")


@final
class Routes:
    """The routes one channel has found out; changed under the lock of the hub.

    Whoever reads them stamps a message with what stands in the route, never with what it was
    looked up by: a stranger's object may say that it equals any text.

    Attributes:
        own: those of the channel's own source, by type.
        found: those of every source it has used, by source and type.
        is_closed: nothing is remembered any more.
    """

    __slots__ = ("__weakref__", "_count", "_source", "found", "is_closed", "own")

    def __init__(self, source: str) -> None:
        self.own: Final[dict[str, Route]] = {}
        self.found: Final = {source: self.own}
        self.is_closed = False
        self._source = source
        self._count = 0

    def remember(self, route: Route) -> None:
        """Let the next message of the source and type find its route."""
        if self._count >= MAX_ROUTES:
            self.forget()
        if not self.is_closed:
            type_, source, _ = route
            self.found.setdefault(source, {})[type_] = route
            self._count += 1

    def forget(self) -> None:
        """Let all routes be found out again."""
        self.own.clear()
        self.found.clear()
        self.found[self._source] = self.own
        self._count = 0

    def close(self) -> None:
        """Forget all routes, and remember no more."""
        self.is_closed = True
        self.forget()


@final
class Hub:
    """Hold what all channels of one bus share.

    Changes are made under `lock` and forget all routes; emitters read routes without it.
    """

    def __init__(
        self,
        permissions: PermissionTable,
        *,
        audit: AuditLog | None = None,
        outbox: Outbox | None = None,
        durable: Iterable[str] = (),
    ) -> None:
        self.lock: Final = threading.RLock()
        self.audit: Final = audit
        self.refusals = 0
        self._permissions = permissions
        self._outbox = outbox
        self._durable = [matcher(pattern) for pattern in durable]
        self._subscriptions: tuple[Subscription, ...] = ()
        self._responders: dict[str, Responder] = {}
        self._routes: WeakSet[Routes] = WeakSet()

    @property
    def permissions(self) -> PermissionTable:
        """The table that holds now."""
        return self._permissions

    @permissions.setter
    def permissions(self, table: PermissionTable) -> None:
        with self.lock:
            self._permissions = table
            self._forget_routes()

    @property
    def outbox(self) -> Outbox:
        """The store of durable messages."""
        if self._outbox is None:
            raise OutboxError(
                "this bus has no outbox for durable messages",
                fix="make it as Bus(outbox=SqliteOutbox(path))",
            )
        return self._outbox

    def routes(self, source: str) -> Routes:
        """Return an empty set of routes that is emptied again at every change."""
        routes = Routes(source)
        with self.lock:
            self._routes.add(routes)
        return routes

    def is_durable(self, type_: str) -> bool:
        """Return whether all messages of a type are stored."""
        return any(takes(type_) for takes in self._durable)

    def takers(self, routes: Routes, speaker: str, source: str, type_: str) -> Takers:
        """Return who takes a message, and remember it unless its type is stored first.

        Args:
            routes: of the channel it came through.
            speaker: whose channel that is, and whose permissions hold.
            source: what the message is stamped with.
            type_: of the message.

        Raises:
            BusDeniedError: `speaker` may not emit it.
        """
        check_type(type_)
        self.check(speaker, "emit", type_)  # before the lock: a refusal waits for the disk
        with self.lock:
            if not self._permissions.allows(speaker, "emit", type_):  # taken back just now
                return self.takers(routes, speaker, source, type_)
            found = tuple((s.accept, s) for s in self._subscriptions if s.takes(type_))
            if not self.is_durable(type_):
                routes.remember((type_, source, found))
            return found

    def check(self, source: str, verb: Verb, type_: str) -> None:
        """Raise BusDeniedError, and audit it, unless `source` may do this."""
        if not self._permissions.allows(source, verb, type_):
            self.refuse(source, verb, type_, table=self._permissions)

    def refuse(self, source: str, verb: Verb, type_: str, *, table: PermissionTable) -> NoReturn:
        """Raise BusDeniedError for what a table does not allow, and audit it."""
        self.write("denied", source=source, verb=verb, type=type_)
        has = ", ".join(table.of_source(source)) or "no permissions"
        raise BusDeniedError(
            f"`{source}` may not {verb} `{type_}`",
            got=f"it has {has}",
            fix=f'add "{verb}:{type_}" to the permissions in its manifest, if it should',
        )

    def refuse_forged(self, source: str, claimed: object, type_: str) -> NoReturn:
        """Raise SourceForgedError, and audit it."""
        text = claimed if isinstance(claimed, str) else shown(claimed)
        self.write("forged", source=source, claimed=text, type=type_)
        raise SourceForgedError(
            "a message claims a source that is not its channel's",
            got=f"{shown(claimed)} through the channel of `{source}`",
            fix="leave the source out: the channel stamps it",
        )

    def write(self, event: str, **facts: object) -> None:
        """Audit a refusal; a full disk, or a log that is closed, takes nothing of it back."""
        with self.lock:
            self.refusals += 1
        if self.audit is None:
            _log.warning("%s: %r", event, facts)
            return
        try:
            self.audit.write(event, **facts)
        except (OSError, BusClosedError):
            _log.exception("the audit log did not take %s: %r", event, facts)

    def add(self, subscription: Subscription) -> None:
        """Let a subscription take part until it is closed."""
        with self.lock:
            self._subscriptions = (*self._subscriptions, subscription)
            self._forget_routes()

    def remove(self, subscription: Subscription) -> None:
        """Let a subscription take part no more."""
        with self.lock:
            self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)
            self._forget_routes()

    def add_responder(self, type_: str, make: Callable[[], Responder]) -> Responder:
        """Let one responder answer a type until it is closed.

        Raises:
            NameTakenError: another does.
        """
        with self.lock:
            taken = self._responders.get(type_)
            if taken is not None:
                raise NameTakenError(
                    f"requests of `{type_}` are answered already",
                    got=f"by `{taken.source}`",
                    fix="close that responder first: a request has exactly one reply",
                )
            self._responders[type_] = responder = make()
            return responder

    def remove_responder(self, responder: Responder) -> None:
        """Let a responder answer no more."""
        with self.lock:
            if self._responders.get(responder.type) is responder:
                del self._responders[responder.type]

    def responder(self, type_: str) -> Responder:
        """Return who answers requests of a type.

        Raises:
            NoResponderError: nobody does.
        """
        found = self._responders.get(type_)
        if found is None:
            raise NoResponderError(
                f"nobody answers requests of `{type_}`",
                got=f"answered are: {', '.join(sorted(self._responders)) or 'none'}",
                fix="start the plugin that does, or check the type",
            )
        return found

    def _forget_routes(self) -> None:
        for routes in self._routes:
            routes.forget()
