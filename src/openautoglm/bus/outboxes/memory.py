"""An outbox in memory: all an outbox does, but that its messages end with the process."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, final

from openautoglm.bus.message import check
from openautoglm.bus.names import matcher
from openautoglm.bus.outbox import Claim, Quarantined
from openautoglm.errors import BusClosedError, NameTakenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.bus.message import Message

_CLAIMED: Final = float("inf")


class _Delivery:
    def __init__(self, message: Message) -> None:
        self.message: Final = message
        self.due = 0.0
        self.attempts = 0


class _Inbox:
    """What one consumer has before it."""

    def __init__(self) -> None:
        self.takes: Callable[[str], bool] = lambda _: False
        self.deliveries: dict[int, _Delivery] = {}  # in the order they were stored
        self.quarantined: list[Quarantined] = []
        self.is_open = False


@final
class MemoryOutbox:
    """Keep durable messages in memory, for tests and for hosts that keep nothing."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inboxes: dict[str, _Inbox] = {}
        self._known: set[tuple[str, str]] = set()
        self._stored = 0
        self._is_closed = False

    def put(self, message: Message) -> bool:
        """Store a message; see `Outbox`."""
        check(message)
        with self._changed:
            self._refuse_closed()
            key = (message.source, message.id)
            if key in self._known:
                return False
            self._known.add(key)
            self._stored += 1
            for inbox in self._inboxes.values():
                if inbox.takes(message.type):
                    inbox.deliveries[self._stored] = _Delivery(message)
            self._changed.notify_all()
            return True

    def feed(self, consumer: str, pattern: str) -> MemoryFeed:
        """Open a consumer; see `Outbox`."""
        takes = matcher(pattern)
        with self._changed:
            self._refuse_closed()
            inbox = self._inboxes.setdefault(consumer, _Inbox())
            if inbox.is_open:
                raise NameTakenError(f"consumer `{consumer}` is open already", fix="close it first")
            inbox.takes, inbox.is_open = takes, True
            return MemoryFeed(inbox, self._changed)

    def quarantined(self, consumer: str) -> tuple[Quarantined, ...]:
        """Return what was set aside; see `Outbox`."""
        with self._changed:
            return tuple(self._inboxes[consumer].quarantined if consumer in self._inboxes else ())

    def close(self) -> None:
        """Take no more messages."""
        with self._changed:
            self._is_closed = True

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise BusClosedError("the outbox is closed", fix="open another")


@final
class MemoryFeed:
    """The messages of one consumer; see `Feed`."""

    def __init__(self, inbox: _Inbox, changed: threading.Condition) -> None:
        self._inbox = inbox
        self._changed = changed
        self._is_woken = False

    def next(self, timeout_s: float) -> Claim | None:
        """Return the next message that is due."""
        ends_at = time.monotonic() + timeout_s
        with self._changed:
            while not self._is_woken:
                now = time.monotonic()
                for number, delivery in self._inbox.deliveries.items():
                    if delivery.due <= now:
                        delivery.due = _CLAIMED
                        delivery.attempts += 1
                        return Claim(
                            message=delivery.message, attempt=delivery.attempts, token=number
                        )
                if now >= ends_at:
                    return None
                due = min((d.due for d in self._inbox.deliveries.values()), default=_CLAIMED)
                self._changed.wait(min(due, ends_at) - now)
            self._is_woken = False
            return None

    def ack(self, claim: Claim) -> None:
        """Take note that the message was handled."""
        with self._changed:
            self._inbox.deliveries.pop(_number(claim), None)

    def retry(self, claim: Claim, delay_s: float) -> None:
        """Give the message back."""
        with self._changed:
            self._inbox.deliveries[_number(claim)].due = time.monotonic() + delay_s

    def quarantine(self, claim: Claim, reason: str) -> None:
        """Set the message aside."""
        with self._changed:
            self._inbox.deliveries.pop(_number(claim), None)
            self._inbox.quarantined.append(Quarantined(message=claim.message, reason=reason))

    def wake(self) -> None:
        """Let `next` return soon."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of the name."""
        with self._changed:
            for delivery in self._inbox.deliveries.values():
                if delivery.due == _CLAIMED:
                    delivery.due = 0.0
            self._inbox.is_open = False


def _number(claim: Claim) -> int:
    assert isinstance(claim.token, int), "made by `next`"  # noqa: S101 - our own invariant
    return claim.token
