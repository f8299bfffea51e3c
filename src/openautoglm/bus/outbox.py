"""Durable delivery: what every store of messages does, and the thread that works one off.

Owns the protocols `Outbox` and `Feed`, and `Consumer`. Knows nothing of any store.

At least once: a message is handed over again until its handler returned and the store took note.
A handler sees a message twice if its process dies in between: it must bear that, by `(source,
id)`. A message that fails `Retry.tries` times, or kills its process as often, is quarantined.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self, final

from openautoglm.bus.delivery import check_function
from openautoglm.bus.words import told
from openautoglm.errors import InvalidParameterError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from openautoglm.bus.message import Message

CLOSE_TIMEOUT_S: Final = 10.0

_LOOK_S: Final = 0.5  # how long one look into a store waits for a message
_log: Final = logging.getLogger("openautoglm.bus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a message is tried, and how long apart.

    Attributes:
        tries: how often, the first included; then it is quarantined.
        first_s: the wait after the first failure.
        factor: by what each further wait is longer.
        limit_s: the longest wait.
        jitter: by what part of itself a wait is shortened at random, so that many do not retry
            at the same time.
    """

    tries: int = 5
    first_s: float = 0.1
    factor: float = 2.0
    limit_s: float = 60.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        waits = (self.first_s, self.factor - 1, self.limit_s, self.jitter)
        is_some = all(0 <= wait < math.inf for wait in waits)  # nor is NaN
        if not is_some or self.tries < 1 or self.jitter > 1:
            raise InvalidParameterError(
                "retries cannot be made like this",
                got=repr(self),
                fix="tries >= 1, first_s >= 0, factor >= 1, limit_s >= 0, 0 <= jitter <= 1",
            )

    def delay_s(self, attempt: int) -> float:
        """Return how long to wait after a failed attempt, counted from 1.

        Example:
            >>> retry = Retry(first_s=0.1, jitter=0)
            >>> [retry.delay_s(attempt) for attempt in (1, 2, 3)]
            [0.1, 0.2, 0.4]
        """
        try:
            wait = min(self.first_s * self.factor ** (attempt - 1), self.limit_s)
        except OverflowError:  # a float ends; so do all sensible waits
            wait = self.limit_s
        return wait * (1 - self.jitter * random.random())  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A message that was fetched and is neither acknowledged nor given back.

    Attributes:
        message: what to hand over.
        attempt: how often it was fetched, this time included, whatever became of the others.
        token: by what its store knows it.
    """

    message: Message
    attempt: int
    token: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A message that a consumer could not take.

    Attributes:
        message: the message.
        reason: what it did, the last time.
    """

    message: Message
    reason: str


class Feed(Protocol):
    """The messages of one consumer; used by one thread, but for `wake`."""

    def next(self, timeout_s: float) -> Claim | None:
        """Return the next message that is due, or None after `timeout_s` or `wake`."""
        ...

    def ack(self, claim: Claim) -> None:
        """Take note that the message was handled."""
        ...

    def retry(self, claim: Claim, delay_s: float) -> None:
        """Give the message back, to be fetched again after `delay_s`."""
        ...

    def quarantine(self, claim: Claim, reason: str) -> None:
        """Set the message aside."""
        ...

    def wake(self) -> None:
        """Let `next` return soon."""
        ...

    def close(self) -> None:
        """Let go of the consumer's name; what was fetched and not acknowledged is due again."""
        ...


class Outbox(Protocol):
    """A store of messages that consumers work off, each by its name and at its own pace.

    A consumer has all messages of its pattern from the first `feed` under its name on, also those
    stored while nobody consumes. Its pattern may change: that is good for messages stored later.
    """

    def put(self, message: Message) -> bool:
        """Store a message; return False where `(source, id)` is known, which stores nothing.

        Raises:
            OutboxError: it could not be stored, or a server did not say that it was: put it
                again, as it is, and it is stored once.
            BusClosedError: the outbox is closed.
        """
        ...

    def feed(self, consumer: str, pattern: str) -> Feed:
        """Open a consumer.

        Raises:
            NameTakenError: the name is in use, where the store lets only one use it.
            OutboxError: the store cannot be reached.
        """
        ...

    def quarantined(self, consumer: str) -> tuple[Quarantined, ...]:
        """Return what was set aside, the oldest first."""
        ...

    def close(self) -> None:
        """Let go of the store; messages stay in it. Feeds are closed first, by who opened them."""
        ...


@final
class Consumer:
    """A thread that hands the messages of one feed to a handler.

    Attributes:
        name: under which the store knows it.
        pattern: which types.
        delivered: messages the handler returned from.
        failed: attempts the handler raised at.
        quarantined: messages set aside.
        last_error: what the handler, or the store, raised last.
    """

    def __init__(
        self,
        *,
        name: str,
        pattern: str,
        feed: Feed,
        handler: Callable[[Message], object],
        retry: Retry,
    ) -> None:
        check_function(handler, "a durable handler")
        self.name: Final = name
        self.pattern: Final = pattern
        self.delivered = self.failed = self.quarantined = 0
        self.last_error: BaseException | None = None
        self.on_close: Callable[[Consumer], object] = lambda _: None
        self.on_quarantine: Callable[[Consumer, Message, str], object] = lambda *_: None
        self._feed = feed
        self._handler = handler
        self._retry = retry
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"bus {name}", daemon=True)

    def start(self) -> Self:
        """Start the thread; `close` ends it."""
        self._thread.start()
        return self

    def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Fetch no more, wait for the handler, and let go of the name.

        Raises:
            OutboxError: the handler did not return within `timeout_s`; the name stays taken.
        """
        self.on_close(self)
        self._closing.set()
        self._feed.wake()
        if self._thread is threading.current_thread():
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise OutboxError(
                f"the handler of consumer `{self.name}` does not return",
                got=f"waited {timeout_s:g} s",
                fix="end the handler; its message will be handed over again",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        troubles = 0
        try:
            while not self._closing.is_set():
                try:
                    claim = self._feed.next(_LOOK_S)
                    if claim is not None:
                        self._hand_over(claim)
                    troubles = 0
                except Exception as error:  # noqa: BLE001 - the store is away, or holds nonsense
                    troubles += 1
                    self.last_error = error
                    _log.warning("consumer `%s`: %s", self.name, error)
                    self._closing.wait(Retry(limit_s=5.0).delay_s(troubles))
        finally:
            try:
                self._feed.close()
            except OutboxError as error:  # what it held is due again after the store's own time
                _log.warning("consumer `%s`: %s", self.name, error)

    def _hand_over(self, claim: Claim) -> None:
        if claim.attempt > self._retry.tries:
            self._set_aside(
                claim, f"its consumer ended {self._retry.tries} times while handling it"
            )
            return
        try:
            self._handler(claim.message)
        except BaseException as error:  # noqa: BLE001 - a handler's SystemExit ends no thread
            self.failed += 1
            self.last_error = error
            if claim.attempt >= self._retry.tries:
                self._set_aside(claim, told(error))
            else:
                self._feed.retry(claim, self._retry.delay_s(claim.attempt))
        else:
            self._feed.ack(claim)
            self.delivered += 1

    def _set_aside(self, claim: Claim, reason: str) -> None:
        self._feed.quarantine(claim, reason)
        self.quarantined += 1
        message = claim.message
        _log.warning(
            "consumer `%s` set %s %s aside: %s", self.name, message.type, message.id, reason
        )
        self.on_quarantine(self, message, reason)
