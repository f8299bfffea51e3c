"""What every store of durable messages keeps to, in memory, in a file and on servers."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from openautoglm.bus import Bus, Consumer, Message, Retry
from openautoglm.errors import BusClosedError, MessageError, NameTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.bus import Feed, Outbox

    Opens = Callable[[], Outbox]

LONG_S = 30.0
QUICK = Retry(tries=3, first_s=0.01, jitter=0)
HOLD = """
import sys, threading
from openautoglm.bus.outboxes.nats import NatsOutbox
from openautoglm.bus.outboxes.redis import RedisOutbox
from openautoglm.bus.outboxes.sqlite import SqliteOutbox
outbox = {outbox}
claim = outbox.feed("worker", "job.*").next(30)
print(claim.message.payload, claim.attempt, flush=True)
threading.Event().wait()
"""


class Heard:
    """A handler that keeps what it took and lets a test wait for so many."""

    def __init__(self, fails: Callable[[Message], bool] = lambda _: False) -> None:
        self.seen: list[Message] = []
        self._fails = fails
        self._changed = threading.Condition()

    def __call__(self, message: Message) -> None:
        with self._changed:
            self.seen.append(message)
            self._changed.notify_all()
        if self._fails(message):
            raise ValueError(f"no {message.payload}")

    def wait(self, count: int) -> list[object]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count, LONG_S), self.seen
            return [message.payload for message in self.seen]


def until(consumer: Consumer, *, quarantined: int) -> None:
    """Wait for a consumer to set messages aside."""
    reached = threading.Event()
    before = consumer.on_quarantine

    def note(consumer: Consumer, message: Message, reason: str) -> None:
        before(consumer, message, reason)
        if consumer.quarantined >= quarantined:
            reached.set()

    consumer.on_quarantine = note
    if consumer.quarantined < quarantined:
        assert reached.wait(LONG_S)


def every(feed: Feed) -> list[Message]:
    """Acknowledge all that is due, up to the message `end`."""
    found: list[Message] = []
    while (claim := feed.next(LONG_S)) is not None:
        feed.ack(claim)
        if claim.message.type == "job.end":
            return found
        found.append(claim.message)
    raise AssertionError("no end")


@pytest.fixture
def outbox(opened: Opens) -> Outbox:
    return opened()


@pytest.fixture
def bus(outbox: Outbox) -> Iterator[Bus]:
    with Bus(outbox=outbox, durable=["job.*"]) as bus:
        yield bus


def test_a_message_comes_out_as_it_was_stored(outbox: Outbox) -> None:
    feed = outbox.feed("worker", "*")
    sent = [
        Message("job.done", "plugin.auth", {"text": "写好了", "n": [1, 2.5, None, True]}),
        Message("job.bytes", "core", bytes(range(256)), subject="s"),
        Message("job.tensor", "core", dataref="oag-shm:7/3?dtype=f32", extensions={"shard": "1"}),
        Message("job.none", "core", time_ns=1),
    ]
    for message in sent:
        assert outbox.put(message)
    outbox.put(Message("job.end", "core"))
    assert every(feed) == sent
    feed.close()


def test_a_consumer_takes_the_types_of_its_pattern_and_no_others(outbox: Outbox) -> None:
    feeds = {pattern: outbox.feed(f"c{n}", pattern) for n, pattern in enumerate(PATTERNS)}
    for type_ in ("job.done", "job.a.done", "config.update", "jobs.done", "job.end"):
        outbox.put(Message(type_, "core"))
    for pattern, feed in feeds.items():
        assert [message.type for message in every(feed)] == PATTERNS[pattern]
        feed.close()


PATTERNS = {
    "job.*": ["job.done", "job.a.done"],
    "*": ["job.done", "job.a.done", "config.update", "jobs.done"],
    "job.end": [],
    "*.*d*": ["job.done", "job.a.done", "config.update", "jobs.done"],
    "jo*": ["job.done", "job.a.done", "jobs.done"],
}


def test_each_consumer_has_every_message_and_at_its_own_pace(bus: Bus) -> None:
    first, second = Heard(), Heard()
    bus.consume("job.*", first, name="first")
    consumer = bus.consume("job.*", second, name="second")
    consumer.close()
    for number in range(20):
        bus.emit("job.done", number)
    assert first.wait(20) == list(range(20))
    assert second.seen == []
    with bus.consume("job.*", second, name="second"):
        assert second.wait(20) == list(range(20))


def test_a_message_known_by_source_and_id_is_stored_once(outbox: Outbox) -> None:
    feed = outbox.feed("worker", "*")
    for source in ("a", "b"):
        assert outbox.put(Message("job.done", source, 1, id="7"))
        assert not outbox.put(Message("job.done", source, 2, id="7"))
    assert outbox.put(Message("job.done", "a", 3, id="8"))
    outbox.put(Message("job.end", "core"))
    found = [(message.source, message.id, message.payload) for message in every(feed)]
    assert found == [("a", "7", 1), ("b", "7", 1), ("a", "8", 3)]
    feed.close()


def test_a_repeated_emit_is_not_handed_over_twice_not_even_volatile(bus: Bus) -> None:
    live: list[object] = []
    bus.subscribe("job.*", lambda m: live.append(m.payload), inline=True)
    for number in range(3):
        bus.emit("job.done", payload=number, id="7")
    assert live == [0]


def test_a_message_is_handed_over_until_its_handler_returns(bus: Bus) -> None:
    left = [2]

    def fails(message: Message) -> bool:
        if message.payload == "bad" and left[0]:
            left[0] -= 1
            return True
        return False

    heard = Heard(fails)
    with bus.consume("job.*", heard, name="worker", retry=QUICK) as consumer:
        bus.emit("job.done", "bad")
        assert heard.wait(3) == ["bad"] * 3
        bus.emit("job.done", "good")
        heard.wait(4)
    assert (consumer.delivered, consumer.failed, consumer.quarantined) == (2, 2, 0)


def test_a_poison_message_is_set_aside_with_its_reason_and_holds_up_nobody(
    bus: Bus, outbox: Outbox
) -> None:
    heard = Heard(lambda message: message.payload == "poison")
    with bus.consume("job.*", heard, name="worker", retry=QUICK) as consumer:
        bus.emit("job.done", "poison")
        bus.emit("job.done", "good")
        until(consumer, quarantined=1)
        heard.wait(4)
    assert [m.payload for m in heard.seen].count("poison") == QUICK.tries
    assert [m.payload for m in heard.seen].count("good") == 1
    ((aside),) = outbox.quarantined("core/worker")
    assert (aside.message.payload, aside.reason) == ("poison", "ValueError: no poison")
    assert outbox.quarantined("nobody") == ()
    assert bus.refusals == 1


def test_what_is_stored_while_nobody_consumes_waits(opened: Opens) -> None:
    outbox = opened()
    outbox.put(Message("job.done", "core", "before the consumer was known"))
    outbox.feed("worker", "job.*").close()
    outbox.put(Message("job.done", "core", "while it was away"))
    outbox.put(Message("job.end", "core"))
    feed = opened().feed("worker", "job.*")
    assert [message.payload for message in every(feed)] == ["while it was away"]
    feed.close()


def test_what_was_fetched_and_not_acknowledged_is_due_again(outbox: Outbox) -> None:
    feed = outbox.feed("worker", "job.*")
    outbox.put(Message("job.done", "core", 1))
    claim = feed.next(LONG_S)
    assert claim is not None
    assert claim.attempt == 1
    feed.close()
    feed = outbox.feed("worker", "job.*")
    again = feed.next(LONG_S)
    assert again is not None
    assert (again.message, again.attempt) == (claim.message, 2)
    feed.ack(again)
    feed.close()


def test_a_message_is_not_due_before_its_delay(outbox: Outbox) -> None:
    feed = outbox.feed("worker", "job.*")
    outbox.put(Message("job.done", "core", "late"))
    outbox.put(Message("job.done", "core", "soon"))
    claim = feed.next(LONG_S)
    assert claim is not None
    feed.retry(claim, 2)
    seen = []
    for _ in range(2):
        claim = feed.next(LONG_S)
        assert claim is not None
        feed.ack(claim)
        seen.append((claim.message.payload, claim.attempt))
    assert seen == [("soon", 1), ("late", 2)]
    feed.close()


def test_a_killed_consumer_loses_nothing_and_its_attempt_counts(opened: Opens) -> None:
    expression = getattr(opened, "expression", None)
    if expression is None:
        return  # what is in memory ends with its process
    outbox = opened()
    outbox.feed("worker", "job.*").close()
    outbox.put(Message("job.done", "core", "precious"))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(outbox=expression)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "precious 1\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    feed = outbox.feed("worker", "job.*")
    claim = feed.next(LONG_S)
    assert claim is not None
    assert (claim.message.payload, claim.attempt) == ("precious", 2)
    feed.ack(claim)
    feed.close()


def test_what_kills_its_consumer_again_and_again_is_set_aside(bus: Bus, outbox: Outbox) -> None:
    outbox.feed("core/worker", "job.*").close()
    bus.emit("job.done", "deadly")
    for _ in range(QUICK.tries):
        feed = outbox.feed("core/worker", "job.*")
        assert feed.next(LONG_S) is not None
        feed.close()
    heard = Heard()
    with bus.consume("job.*", heard, name="worker", retry=QUICK) as consumer:
        until(consumer, quarantined=1)
    assert heard.seen == []
    ((aside),) = outbox.quarantined("core/worker")
    assert "ended 3 times" in aside.reason


def test_messages_come_in_the_order_they_were_stored(outbox: Outbox) -> None:
    feed = outbox.feed("worker", "job.*")
    for number in range(200):
        outbox.put(Message("job.done", "core", number))
    outbox.put(Message("job.end", "core"))
    assert [message.payload for message in every(feed)] == list(range(200))
    feed.close()


def test_wake_and_the_end_of_the_time_return_nothing(outbox: Outbox) -> None:
    feed = outbox.feed("worker", "job.*")
    assert feed.next(0.01) is None
    waker = threading.Thread(target=feed.wake)
    waker.start()
    assert feed.next(LONG_S) is None
    waker.join()
    feed.close()


def test_many_threads_store_and_nothing_is_lost_or_doubled(outbox: Outbox) -> None:
    feed = outbox.feed("worker", "job.*")

    def put(start: int) -> None:
        for number in range(start, start + 50):
            outbox.put(Message("job.done", "core", number))

    threads = [threading.Thread(target=put, args=(start,)) for start in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outbox.put(Message("job.end", "core"))
    assert sorted(int(str(message.payload)) for message in every(feed)) == list(range(200))
    feed.close()


def test_what_is_no_message_is_not_stored(outbox: Outbox) -> None:
    for bad in (Message("", "core"), Message("a", ""), Message("a", "core", id="")):
        with pytest.raises(MessageError):
            outbox.put(bad)
    with pytest.raises(MessageError):
        outbox.feed("worker", "a b")


def test_a_closed_outbox_says_so(opened: Opens) -> None:
    outbox = opened()
    outbox.close()
    outbox.close()
    with pytest.raises(BusClosedError):
        outbox.put(Message("job.done", "core"))
    with pytest.raises(BusClosedError):
        outbox.feed("worker", "*")


def test_a_name_is_used_by_one_or_shared_and_then_each_message_goes_to_one(outbox: Outbox) -> None:
    first = outbox.feed("worker", "job.*")
    try:
        second = outbox.feed("worker", "job.*")
    except NameTakenError:
        first.close()
        return
    for number in range(10):
        outbox.put(Message("job.done", "core", number))
    seen = []
    for feed in (first, second) * 5:
        claim = feed.next(LONG_S)
        assert claim is not None
        feed.ack(claim)
        seen.append(claim.message.payload)
    assert sorted(map(str, seen)) == sorted(map(str, range(10)))
    first.close()
    second.close()
