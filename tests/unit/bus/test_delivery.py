"""No subscriber can hold up, or break, the emitter or another subscriber."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from openautoglm.bus import Bus, Message
from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_S = 30.0  # what no test waits for unless it fails


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus() as bus:
        yield bus


def test_messages_come_in_order_in_a_thread_of_the_subscription(bus: Bus) -> None:
    seen: list[tuple[object, str]] = []
    subscription = bus.subscribe(
        "a", lambda m: seen.append((m.payload, threading.current_thread().name))
    )
    for number in range(500):
        bus.emit("a", number)
    assert subscription.drain(LONG_S)
    assert seen == [(number, "bus a") for number in range(500)]
    assert subscription.delivered == 500


def test_a_handler_that_hangs_holds_up_nobody_and_loses_the_oldest_counted(bus: Bus) -> None:
    go, entered = threading.Event(), threading.Event()
    slow: list[object] = []
    quick: list[object] = []

    def hang(message: Message) -> None:
        slow.append(message.payload)
        entered.set()
        go.wait(LONG_S)

    hanging = bus.subscribe("a", hang, capacity=10)
    other = bus.subscribe("a", lambda m: quick.append(m.payload))
    bus.emit("a", 0)
    assert entered.wait(LONG_S)
    for number in range(1, 101):
        bus.emit("a", number)
    assert other.drain(LONG_S)
    assert quick == list(range(101))
    assert hanging.dropped == 90
    go.set()
    assert hanging.drain(LONG_S)
    assert slow == [0, *range(91, 101)]


@pytest.mark.parametrize("inline", [True, False])
def test_a_handler_that_raises_breaks_nobody_and_is_counted(
    bus: Bus, *, inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(message: Message) -> None:
        raise ValueError(message.payload)

    seen: list[object] = []
    failing = bus.subscribe("a", fail, inline=inline)
    bus.subscribe("a", lambda m: seen.append(m.payload), inline=True)
    for number in range(5):
        bus.emit("a", number)
    assert failing.drain(LONG_S)
    assert seen == [0, 1, 2, 3, 4]
    assert failing.failed == 5
    assert str(failing.last_error) == "4"
    assert sum("failed at a" in record.getMessage() for record in caplog.records) == 3


def test_a_handler_that_ends_its_thread_ends_one_message(bus: Bus) -> None:
    seen: list[object] = []

    def leave(message: Message) -> None:
        seen.append(message.payload)
        sys.exit(3)

    subscription = bus.subscribe("a", leave)
    bus.emit("a", 1)
    bus.emit("a", 2)
    assert subscription.drain(LONG_S)
    assert seen == [1, 2]


def test_an_inline_handler_may_emit_subscribe_and_close(bus: Bus) -> None:
    seen: list[str] = []

    def again(message: Message) -> None:
        seen.append(message.type)
        if message.type == "a":
            bus.emit("b")
            subscription.close()

    subscription = bus.subscribe("*", again, inline=True)
    bus.emit("a")
    bus.emit("c")
    assert seen == ["a", "b"]


def test_a_handler_that_emits_what_it_takes_ends(bus: Bus) -> None:
    subscription = bus.subscribe("a", lambda _: bus.emit("a"), inline=True)
    bus.emit("a")
    assert subscription.failed >= 1
    assert isinstance(subscription.last_error, RecursionError)


def test_an_async_handler_runs_in_the_loop_that_ran_when_it_subscribed(bus: Bus) -> None:
    async def main() -> list[object]:
        seen: list[object] = []
        done = asyncio.Event()

        async def handler(message: Message) -> None:
            await asyncio.sleep(0)
            assert asyncio.get_running_loop() is loop
            seen.append(message.payload)
            if message.payload == 9:
                done.set()
            if message.payload == 3:
                raise ValueError

        loop = asyncio.get_running_loop()
        subscription = bus.subscribe("a", handler)
        for number in range(5):
            bus.emit("a", number)
        await asyncio.to_thread(lambda: [bus.emit("a", number) for number in range(5, 10)])
        await asyncio.wait_for(done.wait(), LONG_S)
        subscription.close()
        await subscription._task
        assert subscription.failed == 1
        return seen

    assert asyncio.run(main()) == list(range(10))


def test_a_loop_that_ended_does_not_break_the_emitter(bus: Bus) -> None:
    async def handler(_: Message) -> None:
        pass

    async def main() -> None:
        bus.subscribe("a", handler)
        await asyncio.sleep(0)

    asyncio.run(main())
    bus.emit("a")
    bus.emit("a")


def test_an_async_handler_runs_in_a_thread_where_no_loop_runs(bus: Bus) -> None:
    seen: list[object] = []

    async def handler(message: Message) -> None:
        await asyncio.sleep(0)
        seen.append(message.payload)

    with bus.subscribe("a", handler) as subscription:
        for number in range(5):
            bus.emit("a", number)
        assert subscription.drain(LONG_S)
    assert seen == [0, 1, 2, 3, 4]


def test_a_handler_runs_in_the_context_of_who_subscribed(bus: Bus) -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")
    seen: list[str] = []
    token = who.set("me")
    subscription = bus.subscribe("a", lambda _: seen.append(who.get()))
    who.reset(token)
    bus.emit("a")
    assert subscription.drain(LONG_S)
    assert seen == ["me"]


def test_close_hands_over_what_is_queued_and_ends_the_thread(bus: Bus) -> None:
    seen: list[object] = []
    before = threading.active_count()
    subscription = bus.subscribe("a", lambda m: seen.append(m.payload))
    for number in range(100):
        bus.emit("a", number)
    subscription.close()
    subscription.close()
    bus.emit("a", 100)
    assert seen == list(range(100))
    assert threading.active_count() == before


def test_close_drops_and_counts_what_a_hanging_handler_leaves(bus: Bus) -> None:
    go, entered = threading.Event(), threading.Event()

    def hang(_: Message) -> None:
        entered.set()
        go.wait(LONG_S)

    subscription = bus.subscribe("a", hang)
    bus.emit("a")
    assert entered.wait(LONG_S)
    bus.emit("a")
    subscription.close(timeout_s=0)
    assert subscription.dropped == 1
    go.set()


def test_a_handler_may_close_its_own_subscription(bus: Bus) -> None:
    closed = threading.Event()

    def close(_: Message) -> None:
        subscription.close()
        closed.set()

    subscription = bus.subscribe("a", close)
    bus.emit("a")
    assert closed.wait(LONG_S)


def test_emitters_in_many_threads_lose_nothing(bus: Bus) -> None:
    seen: list[object] = []
    subscription = bus.subscribe("a", lambda m: seen.append(m.payload), capacity=10_000)

    def emit(start: int) -> None:
        for number in range(start, start + 1000):
            bus.emit("a", number)

    threads = [threading.Thread(target=emit, args=(start,)) for start in range(0, 4000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert subscription.drain(LONG_S)
    assert sorted(seen, key=str) == sorted(range(4000), key=str)


def test_subscribing_and_closing_under_fire_loses_nothing_for_the_others(bus: Bus) -> None:
    seen: list[object] = []
    bus.subscribe("a", lambda m: seen.append(m.payload), inline=True)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            bus.subscribe("*", lambda _: None, inline=True).close()

    thread = threading.Thread(target=churn)
    thread.start()
    for number in range(5000):
        bus.emit("a", number)
    stop.set()
    thread.join()
    assert seen == list(range(5000))


def test_a_program_that_forgets_to_close_ends_all_the_same() -> None:
    code = (
        "import threading; from openautoglm import bus\n"
        "bus.subscribe('a', lambda m: print(m.payload, flush=True))\n"
        "for n in range(3): bus.emit('a', n)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["0", "1", "2"]


@pytest.mark.parametrize("inline", [False, True])
def test_what_cannot_be_called_is_no_handler(bus: Bus, *, inline: bool) -> None:
    with pytest.raises(InvalidParameterError, match="function"):
        bus.subscribe("a", 5, inline=inline)  # type: ignore[arg-type]  # what is refused


def test_a_queue_without_room_and_an_async_inline_handler_are_refused(bus: Bus) -> None:
    async def handler(_: Message) -> None:
        pass

    with pytest.raises(InvalidParameterError):
        bus.subscribe("a", print, capacity=0)
    with pytest.raises(InvalidParameterError):
        bus.subscribe("a", handler, inline=True)
