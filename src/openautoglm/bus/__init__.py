"""The bus: everything that happens travels on it as a message, and who may send what is a table.

`emit`, `subscribe`, `consume`, `request` and `respond` of this module are those of one bus for the
whole process, made when it is first used; in a plugin's worker they are the plugin's own channel.
Importing this module starts no thread.

Example:
    >>> emit("config.update", {"source": "plugin.auth", "payload": {"timeout": 3000}}).source
    'plugin.auth'
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Unpack

from openautoglm.bus.audit import AuditCheck, AuditLog, verify
from openautoglm.bus.bus import Bus
from openautoglm.bus.delivery import CAPACITY, Subscription
from openautoglm.bus.message import MAX_MESSAGE_BYTES, Message
from openautoglm.bus.outbox import Claim, Consumer, Feed, Outbox, Quarantined, Retry
from openautoglm.bus.permissions import CORE, VERBS, Permission, PermissionTable, Verb
from openautoglm.bus.ports import Channel, Port
from openautoglm.bus.requests import Responder
from openautoglm.bus.verbs import DEADLINE_S, Emit, Opened, Options, Speaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.bus.delivery import Handler
    from openautoglm.bus.requests import Answer

__all__ = [
    "CORE",
    "MAX_MESSAGE_BYTES",
    "VERBS",
    "AuditCheck",
    "AuditLog",
    "Bus",
    "Channel",
    "Claim",
    "Consumer",
    "Feed",
    "Message",
    "Opened",
    "Options",
    "Outbox",
    "Permission",
    "PermissionTable",
    "Port",
    "Quarantined",
    "Responder",
    "Retry",
    "Speaks",
    "Subscription",
    "Verb",
    "consume",
    "current",
    "emit",
    "made",
    "request",
    "respond",
    "speaking_as",
    "subscribe",
    "use",
    "verify",
]

_speaking: Final[ContextVar[Speaks | None]] = ContextVar("openautoglm_bus_port", default=None)
_making: Final = threading.Lock()
_process: Final[list[Speaks]] = []  # what the process speaks through, once it does


def current() -> Speaks:
    """Return what this module's functions speak through: here and now, or for the process."""
    return _speaking.get() or (_process[0] if _process else _make())


def made() -> Bus | None:
    """Return the bus of this process if there is one by now and its host speaks on it; make none.

    For news that nobody asked for: where there is none, nobody can have subscribed.
    """
    return next((port for port in _process if isinstance(port, Bus)), None)


def use(port: Speaks) -> Speaks | None:
    """Let this module's functions speak through another port, in the whole process.

    A plugin's worker does so with the channel of its plugin before it imports the plugin. The one
    before is returned, not closed.
    """
    with _making:
        before = _process[0] if _process else None
        _process[:] = [port]
    return before


@contextmanager
def speaking_as(port: Speaks) -> Iterator[None]:
    """Let this module's functions speak through a port inside the block, in this thread or task.

    For plugins in the host's own process, so that what they emit carries their name. It keeps
    honest code from mistakes, and nobody else.
    """
    token = _speaking.set(port)
    try:
        yield
    finally:
        _speaking.reset(token)


def _in_c(emit: Emit) -> Emit:
    """Return the same in C, which leaves whatever is unusual to the one given; or that one.

    `OPENAUTOGLM_DIRECT=0` and `OPENAUTOGLM_NATIVE=0` ask for Python alone.
    """
    if "0" in (os.environ.get("OPENAUTOGLM_DIRECT"), os.environ.get("OPENAUTOGLM_NATIVE")):
        return emit
    try:
        from openautoglm.bus import direct
    except ImportError:  # built without a compiler or Python's headers, or not for this Python
        return emit
    direct.prepare(emit, _speaking.get, _process, Message)
    return direct.emit


@_in_c
def emit(type_: str, event: object = None, /, **options: Unpack[Options]) -> Message:
    """Send a message to all who subscribed to its type; see `Port.emit`."""
    port = _speaking.get() or (_process[0] if _process else _make())  # `current`, a call less
    return port.emit(type_, event, **options) if options else port.emit(type_, event)


def subscribe(
    pattern: str, handler: Handler, *, capacity: int = CAPACITY, inline: bool = False
) -> Subscription:
    """Hand messages of the types that a pattern takes to a handler; see `Port.subscribe`."""
    return current().subscribe(pattern, handler, capacity=capacity, inline=inline)


def consume(
    pattern: str,
    handler: Callable[[Message], object],
    *,
    name: str,
    retry: Retry | None = None,
) -> Opened:
    """Hand durable messages to a handler, at least once; see `Port.consume`."""
    return current().consume(pattern, handler, name=name, retry=retry)


def request(
    type_: str,
    payload: object = None,
    *,
    deadline_s: float = DEADLINE_S,
    subject: str | None = None,
    dataref: str | None = None,
) -> Message:
    """Ask the one who answers a type, and return the reply; see `Port.request`."""
    return current().request(
        type_, payload, deadline_s=deadline_s, subject=subject, dataref=dataref
    )


def respond(type_: str, handler: Answer, *, threads: int = 1) -> Opened:
    """Answer the requests of one type; see `Port.respond`."""
    return current().respond(type_, handler, threads=threads)


def _make() -> Speaks:
    with _making:
        if not _process:
            _process.append(new := Bus())
            atexit.register(new.close)
        return _process[0]
