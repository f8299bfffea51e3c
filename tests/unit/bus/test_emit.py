"""`openautoglm.bus.emit` in C and in Python: what is known already goes the way of what is new."""

from __future__ import annotations

import enum
import gc
import importlib.util
import itertools
import json
import logging
import sys
import threading
import traceback
import weakref
from collections import OrderedDict
from contextvars import copy_context
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import openautoglm.bus
from openautoglm.bus import AuditLog, Bus, Message, PermissionTable
from openautoglm.bus.outboxes.memory import MemoryOutbox
from openautoglm.errors import (
    BusClosedError,
    BusDeniedError,
    MessageError,
    OpenAutoGLMError,
    SourceForgedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from openautoglm.bus.verbs import Speaks

LONG_S = 30.0  # what no test waits for unless it fails
EVENT = {"source": "plugin.auth", "payload": {"timeout": 3000}}


class Named(enum.StrEnum):
    TYPE = "config.update"
    SOURCE = "plugin.auth"


class Liar(str):
    """Says that it is `config.update` and `plugin.auth`, whatever it is."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other in ("config.update", "plugin.auth")

    def __hash__(self) -> int:
        return hash("config.update" if self.startswith("t") else "plugin.auth")


class Raises:
    def __eq__(self, other: object) -> bool:
        raise ValueError

    def __hash__(self) -> int:
        raise ValueError

    def __repr__(self) -> str:
        raise ValueError


class Sub(dict[str, object]):
    pass


@pytest.fixture(params=["c", "python"])
def module(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Return the module as it is, and as it is where nothing was built."""
    if request.param == "c":
        if not hasattr(openautoglm.bus, "direct"):
            pytest.skip("built without a compiler, or Python's headers")
        yield openautoglm.bus
        return
    spec = importlib.util.spec_from_file_location("bus_in_python", openautoglm.bus.__file__)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAUTOGLM_DIRECT", "0")
        spec.loader.exec_module(made)
    assert not hasattr(made, "direct")
    yield made


@pytest.fixture
def bus(module: ModuleType) -> Iterator[Bus]:
    """Return a bus that the module speaks through."""
    with Bus() as bus, module.speaking_as(bus):
        yield bus


def heard(bus: Bus, pattern: str = "*") -> list[Message]:
    seen: list[Message] = []
    bus.subscribe(pattern, seen.append, inline=True)
    return seen


def test_each_message_is_a_frozen_one_of_its_own(module: ModuleType, bus: Bus) -> None:
    seen = heard(bus)
    sent = [module.emit("config.update", EVENT) for _ in range(3)]
    assert seen == sent
    assert {type(one) for one in seen} == {Message}
    assert {(one.type, one.source) for one in seen} == {("config.update", "plugin.auth")}
    assert all(one.payload is EVENT["payload"] for one in seen)
    assert len({one.id for one in seen}) == 3
    assert seen[0].time_ns <= seen[1].time_ns <= seen[2].time_ns
    with pytest.raises(AttributeError, match="immutable"):
        seen[2].source = "core"  # type: ignore[misc]  # what is refused


TEXTS: st.SearchStrategy[object] = st.builds(Raises) | st.sampled_from(
    [
        *("config.update", "plugin.auth", "other", "core", "", "a b", "config.*", "a" * 200),
        *(Named.TYPE, Named.SOURCE, None, 5, True, b"a", ["a"], ("config.update",)),
    ]
)
KEYS = ["payload", "source", "subject", "id", "durable", "type", "sauce"]
EVENTS = (
    TEXTS
    | st.builds(lambda source: {"source": source, "payload": 1}, TEXTS)
    | st.builds(
        lambda kind, event: kind(event),
        st.sampled_from([dict, Sub, OrderedDict]),
        st.dictionaries(st.sampled_from([*KEYS, 5]), TEXTS, max_size=3),
    )
)
OPTIONS = st.dictionaries(st.sampled_from(KEYS), TEXTS, max_size=1)


def outcome(
    module: ModuleType, speaker: str, call: tuple[object, object, dict[str, object]], *known: object
) -> object:
    """Return what a call comes to after those events are known, and that nothing else is heard."""
    type_, event, options = call
    with Bus() as bus:
        port: Speaks = bus if speaker == "core" else bus.channel(speaker, ["emit:config.*"])
        seen = heard(bus)
        with module.speaking_as(port):
            for one in known:
                module.emit("config.update", one)
            seen.clear()
            try:
                sent = module.emit(type_, event, **options)
            except OpenAutoGLMError as error:
                assert seen == []
                return type(error), error.problem
        assert seen == [sent]
        assert (type(sent.type), type(sent.source)) == (str, str)
        return sent.type, sent.source, sent.payload, sent.subject


@pytest.mark.parametrize("speaker", ["core", "plugin.auth"])
@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(type_=TEXTS, event=EVENTS, options=OPTIONS)
def test_what_is_said_again_comes_to_what_it_came_to_the_first_time(
    module: ModuleType, speaker: str, type_: object, event: object, options: dict[str, object]
) -> None:
    call = (type_, event, options)
    first = outcome(module, speaker, call)
    again = outcome(module, speaker, call, 5, {"source": "plugin.auth", "payload": 5})
    assert again == first


def test_who_lies_about_what_he_equals_says_only_what_he_may(module: ModuleType) -> None:
    for event in (1, {"source": "plugin.auth", "payload": 1}, {"source": Liar("s"), "payload": 1}):
        for type_ in ("config.update", Liar("t.evil")):
            for known in ((), (5, {"source": "plugin.auth", "payload": 5})):
                found = outcome(module, "plugin.auth", (type_, event, {}), *known)
                assert isinstance(found, tuple)
                assert found[0] in {"config.update", BusDeniedError, SourceForgedError}
                assert found[0] != "config.update" or found[1:3] == ("plugin.auth", 1)


def test_a_claimed_other_source_is_refused_and_audited_each_time(
    module: ModuleType, tmp_path: Path
) -> None:
    with AuditLog(tmp_path / "a") as audit, Bus(audit=audit) as bus:
        seen = heard(bus)
        with module.speaking_as(bus.channel("plugin.auth", ["emit:config.*"])):
            for _ in range(3):
                module.emit("config.update", EVENT)
                for source in ("core", "plugin.other", "", None, 5, ["a"], Raises()):
                    with pytest.raises(SourceForgedError):
                        module.emit("config.update", {"source": source, "payload": 1})
    assert [one.source for one in seen] == ["plugin.auth"] * 3
    lines = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["forged"] * 21
    assert lines[0]["claimed"] == "core"


def test_what_changes_holds_from_the_next_message_on(module: ModuleType) -> None:
    with Bus() as bus, bus.channel("plugin.auth", ["emit:config.*"]) as channel:
        seen = heard(bus)
        with module.speaking_as(channel):
            module.emit("config.update", EVENT)
            more = heard(bus)
            module.emit("config.update", EVENT)
            assert (len(seen), len(more)) == (2, 1)
            bus._hub.permissions = PermissionTable()
            with pytest.raises(BusDeniedError):
                module.emit("config.update", EVENT)
            bus._hub.permissions = PermissionTable.of({"plugin.auth": ["emit:*"]})
            module.emit("config.update", EVENT)
            channel.close()
            with pytest.raises(BusClosedError):
                module.emit("config.update", EVENT)
    assert (len(seen), len(more)) == (3, 2)


class Closing:
    """A table that allows all, and closes the bus when it is asked."""

    permissions = ()

    def __init__(self) -> None:
        self.bus = Bus(permissions=cast("PermissionTable", self))

    def allows(self, *_: str) -> bool:
        self.bus.close()
        return True


def test_a_port_that_is_closed_while_it_emits_emits_no_second_time(module: ModuleType) -> None:
    with module.speaking_as(Closing().bus):
        module.emit("config.update", EVENT)  # on its way already
        with pytest.raises(BusClosedError):
            module.emit("config.update", EVENT)


def test_a_port_that_is_closed_while_it_opens_something_opens_nothing() -> None:
    before = threading.active_count()
    with pytest.raises(BusClosedError):
        Closing().bus.subscribe("a", print)
    with pytest.raises(BusClosedError):
        Closing().bus.respond("a", print)
    bus = Bus(permissions=cast("PermissionTable", closing := Closing()), outbox=MemoryOutbox())
    closing.bus = bus
    with pytest.raises(BusClosedError):
        bus.consume("a", print, name="c")
    bus._hub.outbox.feed("core/c", "a").close()
    assert threading.active_count() == before


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
