"""`openautoglm.bus.emit` in C and in Python: what is known already goes the way of what is new."""

from __future__ import annotations

import enum
import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.bus import AuditLog, Bus, Message, PermissionTable
from openautoglm.bus.outboxes.memory import MemoryOutbox
from openautoglm.errors import (
    BusClosedError,
    BusDeniedError,
    OpenAutoGLMError,
    SourceForgedError,
)

if TYPE_CHECKING:
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
                    event = {"source": source, "payload": 1}
                    for claim in (event, event | {"id": "7"}):
                        with pytest.raises(SourceForgedError):
                            module.emit("config.update", claim)
    assert [one.source for one in seen] == ["plugin.auth"] * 3
    lines = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["forged"] * 42
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
