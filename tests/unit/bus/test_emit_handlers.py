"""Handlers that the module's `emit` calls may do what they like, in C and in Python."""

from __future__ import annotations

import gc
import itertools
import logging
import sys
import threading
import traceback
import weakref
from contextvars import copy_context
from typing import TYPE_CHECKING

import pytest

from openautoglm.bus import Bus, Message
from openautoglm.errors import (
    BusClosedError,
    MessageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


LONG_S = 30.0  # what no test waits for unless it fails
EVENT = {"source": "plugin.auth", "payload": {"timeout": 3000}}


def heard(bus: Bus, pattern: str = "*") -> list[Message]:
    seen: list[Message] = []
    bus.subscribe(pattern, seen.append, inline=True)
    return seen


def test_a_handler_that_raises_is_counted_with_its_traceback_and_the_rest_hear(
    module: ModuleType, bus: Bus
) -> None:
    def fail(message: Message) -> None:
        raise ValueError(message.payload)

    failing, seen = bus.subscribe("*", fail, inline=True), heard(bus)
    for _ in range(2):
        module.emit("config.update", EVENT)
    assert (failing.failed, len(seen)) == (2, 2)
    error = failing.last_error
    assert isinstance(error, ValueError)
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"


def test_what_ends_the_program_goes_through(module: ModuleType, bus: Bus) -> None:
    def stop(_: Message) -> None:
        raise KeyboardInterrupt

    stopping = bus.subscribe("*", stop, inline=True)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            module.emit("config.update", EVENT)
    assert stopping.failed == 0


def test_a_handler_may_emit_subscribe_and_close_what_it_is_called_from(
    module: ModuleType, bus: Bus
) -> None:
    seen: list[object] = []

    def handle(message: Message) -> None:
        seen.append(message.payload)
        if message.payload == 3:
            bus.subscribe("*", lambda m: seen.append(("late", m.payload)), inline=True)
            bus.close()
            with pytest.raises(BusClosedError):
                module.emit("config.update", {"source": "plugin.auth", "payload": 4})
        else:
            module.emit("config.update", {"source": "plugin.auth", "payload": message.payload + 1})  # type: ignore[operator]  # a number

    bus.subscribe("config.*", handle, inline=True)
    module.emit("config.update", {"source": "plugin.auth", "payload": 0})
    assert seen == [0, 1, 2, 3]


def test_a_handler_that_emits_what_it_takes_ends(module: ModuleType, bus: Bus) -> None:
    endless = bus.subscribe("*", lambda _: module.emit("config.update", EVENT), inline=True)
    module.emit("config.update", EVENT)
    assert isinstance(endless.last_error, RecursionError)
    module.emit("config.update", EVENT)


def test_it_speaks_as_who_speaks_here_and_else_as_the_process(module: ModuleType) -> None:
    with Bus() as bus, Bus() as other:
        first, second = heard(bus), heard(other)
        before = module.use(bus)
        try:
            for _ in range(2):
                assert module.emit("config.update", EVENT).source == "plugin.auth"
                with module.speaking_as(other.channel("acme", ["emit:*"])) as _:
                    inside = copy_context()
                    assert module.emit("config.update", 1).source == "acme"
                    module._speaking.get().close()
            with pytest.raises(BusClosedError):
                inside.run(module.emit, "config.update", 1)
            assert module.emit("config.update", 1).source == "core"
        finally:
            module.use(before or Bus())
    assert (len(first), len(second)) == (3, 2)


def test_a_handler_in_a_thread_goes_on_speaking_as_the_plugin_that_subscribed(
    module: ModuleType,
) -> None:
    said: list[str] = []
    with Bus() as bus:
        channel = bus.channel("acme", ["emit:acme.*", "subscribe:config.*"])
        with module.speaking_as(channel):
            subscription = module.subscribe(
                "config.*", lambda _: said.append(module.emit("acme.done", 1).source)
            )
        for _ in range(3):
            bus.emit("config.update", EVENT)
        assert subscription.drain(LONG_S)
    assert said == ["acme"] * 3


def test_threads_lose_nothing_while_others_subscribe_and_close(
    module: ModuleType, bus: Bus
) -> None:
    count, threads = 3000, 4
    seen: list[Message] = []
    with bus.subscribe("config.*", seen.append, inline=True):
        done = threading.Event()

        def churn() -> None:
            while not done.is_set():
                bus.subscribe("*", lambda _: None, inline=True).close()

        def emit(source: str) -> None:
            for number in range(count):
                module.emit("config.update", {"source": source, "payload": number})

        inside = [copy_context() for _ in range(threads)]
        emitters = [
            threading.Thread(target=context.run, args=(emit, f"p{n}"))
            for n, context in enumerate(inside)
        ]
        churner = threading.Thread(target=churn)
        for thread in (churner, *emitters):
            thread.start()
        for thread in emitters:
            thread.join(LONG_S)
        done.set()
        churner.join(LONG_S)
    for number in range(threads):
        own = [one.payload for one in seen if one.source == f"p{number}"]
        assert own == list(range(count))
    assert len({one.id for one in seen}) == count * threads


def test_a_huge_payload_is_handed_over_as_it_is(module: ModuleType, bus: Bus) -> None:
    seen, huge = heard(bus), bytearray(1 << 26)
    for _ in range(2):
        module.emit("config.update", {"source": "plugin.auth", "payload": huge})
    assert all(one.payload is huge for one in seen)
    with pytest.raises(MessageError, match="too large"):
        seen[0].to_json()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_kept_of_what_was_sent(
    module: ModuleType, bus: Bus, caplog: pytest.LogCaptureFixture, *, fails: bool
) -> None:
    caplog.set_level(logging.CRITICAL, "openautoglm.bus")  # what is logged keeps its traceback

    class Payload:
        pass

    def handle(_: Message) -> None:
        if fails:
            raise ValueError

    subscription = bus.subscribe("*", handle, inline=True)
    payload = Payload()
    event = {"source": "plugin.auth", "payload": payload}
    given = [("config.update", event), ("config.update", payload), ("a b", payload), (payload, 1)]
    counts = []
    for turn, (type_, what) in itertools.product(range(50), given):
        try:
            module.emit(type_, what)
        except MessageError:
            assert type_ != "config.update"
        if turn in {10, 49}:
            subscription.last_error = None
            counts.append((sys.getrefcount(payload), sys.getrefcount(event)))
    assert counts[:4] == counts[4:]
    gone = weakref.ref(payload)
    del payload, event, given, what, type_
    gc.collect()
    assert gone() is None


def test_a_call_that_is_none_is_refused_as_python_does(module: ModuleType, bus: Bus) -> None:
    for wrong in (
        module.emit,
        lambda: module.emit("a", 1, 2),
        lambda: module.emit(type_="a"),
    ):
        for _ in range(2):
            with pytest.raises(TypeError):
                wrong()
    assert module.emit("a").payload is None
    assert module.emit("a", payload=bus).payload is bus


def test_all_that_is_known_is_forgotten_before_it_is_too_much(module: ModuleType, bus: Bus) -> None:
    for number in range(5000):
        module.emit("a", {"source": f"s{number}", "payload": 1})
    assert sum(map(len, bus._routes.found.values())) <= 4096
    emit: Callable[..., Message] = module.emit
    assert emit("a", 1).source == "core"
