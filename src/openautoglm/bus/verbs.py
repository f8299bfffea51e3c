"""What everything that speaks on the bus offers, and how the arguments of `emit` are read.

Knows nothing of who may do what.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol, TypedDict, Unpack

from openautoglm.bus.delivery import CAPACITY
from openautoglm.bus.names import check_type, plain
from openautoglm.bus.words import shown
from openautoglm.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.bus.delivery import Handler, Subscription
    from openautoglm.bus.message import Message
    from openautoglm.bus.outbox import Retry
    from openautoglm.bus.requests import Answer

DEADLINE_S: Final = 30.0


class Options(TypedDict, total=False):
    """What may be said about a message beyond its type: attributes of `Message`, and `durable`."""

    payload: object
    source: str
    id: str
    subject: str
    dataref: str
    datacontenttype: str
    dataschema: str
    extensions: Mapping[str, str | int | bool]
    durable: bool


_ATTRIBUTES: Final = frozenset(Options.__annotations__) - {"durable"}


class Opened(AbstractContextManager["Opened"], Protocol):
    """Something that goes on until it is closed."""

    def close(self) -> None:
        """End it."""


class Emit(Protocol):
    """The verb `emit`, as `Port` describes it."""

    def __call__(self, type_: str, event: object = None, /, **options: Unpack[Options]) -> Message:
        """Send a message."""
        ...


class Speaks(Protocol):
    """The verbs, as `Port` describes them."""

    def emit(self, type_: str, event: object = None, /, **options: Unpack[Options]) -> Message:
        """Send a message."""
        ...

    def subscribe(
        self, pattern: str, handler: Handler, *, capacity: int = CAPACITY, inline: bool = False
    ) -> Subscription:
        """Hear messages."""
        ...

    def consume(
        self,
        pattern: str,
        handler: Callable[[Message], object],
        *,
        name: str,
        retry: Retry | None = None,
    ) -> Opened:
        """Hear durable messages."""
        ...

    def request(
        self,
        type_: str,
        payload: object = None,
        *,
        deadline_s: float = DEADLINE_S,
        subject: str | None = None,
        dataref: str | None = None,
    ) -> Message:
        """Ask."""
        ...

    def respond(self, type_: str, handler: Answer, *, threads: int = 1) -> Opened:
        """Answer."""
        ...

    def close(self) -> None:
        """End all that was opened."""


def attributes_of(
    type_: str, event: object, options: Mapping[str, object]
) -> tuple[dict[str, object], bool]:
    """Return the attributes of a message as `emit` was given them, and whether it is durable.

    Raises:
        MessageError: the type is none, something is said twice, or is nothing a message has.
    """
    type_ = check_type(plain(type_))
    attributes = dict(options)
    durable = attributes.pop("durable", False)
    if isinstance(event, dict) and "payload" in event:
        attributes = _merged(type_, event, attributes)
    elif event is not None:
        attributes = _merged(type_, {"payload": event}, attributes)
    if unknown := attributes.keys() - _ATTRIBUTES:
        raise MessageError(
            f"an event of `{type_}` has attributes no message has",
            got=", ".join(sorted(map(shown, unknown))),
            fix="give a payload with a key `payload` as `payload=`, or mend the names",
        )
    if "source" in attributes:
        attributes["source"] = plain(attributes["source"])
    return {"type": type_, **attributes}, bool(durable)


def _merged(type_: str, event: dict[str, object], options: dict[str, object]) -> dict[str, object]:
    """Return what an event and the options say, which may not both say the same."""
    if twice := event.keys() & options.keys():
        raise MessageError(
            f"an event of `{type_}` says something twice",
            got=", ".join(sorted(map(shown, twice))),
            fix="say it in the event or by name",
        )
    return {**event, **options}
