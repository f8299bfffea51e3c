"""What goes in at a port comes out at subscribers, stamped, permitted or refused."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import openautoglm.bus as module
from openautoglm.bus import AuditLog, Bus, Message, PermissionTable, Port, verify
from openautoglm.bus.bridge import RemotePort
from openautoglm.errors import (
    BusClosedError,
    BusDeniedError,
    MessageError,
    NameTakenError,
    OutboxError,
    SourceForgedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus() as bus:
        yield bus


def heard(bus: Bus, pattern: str = "*") -> list[Message]:
    seen: list[Message] = []
    bus.subscribe(pattern, seen.append, inline=True)
    return seen


def test_the_module_emits_as_the_requirement_writes_it() -> None:
    seen: list[Message] = []
    with module.subscribe("config.*", seen.append) as subscription:
        module.emit("config.update", {"source": "plugin.auth", "payload": {"timeout": 3000}})
        assert subscription.drain(10)
    assert (seen[0].type, seen[0].source) == ("config.update", "plugin.auth")
    assert seen[0].payload == {"timeout": 3000}


@pytest.mark.parametrize("verb", ["emit", "subscribe", "consume", "request", "respond"])
def test_a_verb_takes_the_same_here_there_and_far_away(verb: str) -> None:
    def parameters(of: object) -> list[tuple[str, object, object]]:
        found = inspect.signature(getattr(of, verb)).parameters.values()
        return [(one.name, one.kind, one.default) for one in found if one.name != "self"]

    assert parameters(module) == parameters(Port) == parameters(RemotePort)


def test_in_a_worker_the_module_speaks_as_the_plugin(bus: Bus) -> None:
    seen = heard(bus)
    before = module.use(bus.channel("plugin.auth", ["emit:config.*"]))
    try:
        module.emit("config.update", {"source": "plugin.auth", "payload": 1})
        module.emit("config.update", 2)
        with pytest.raises(SourceForgedError):
            module.emit("config.update", {"source": "core", "payload": 3})
    finally:
        module.use(before or Bus())
    assert [message.source for message in seen] == ["plugin.auth", "plugin.auth"]


def test_in_the_host_a_plugin_speaks_through_its_channel_inside_a_block(bus: Bus) -> None:
    seen = heard(bus)
    with module.speaking_as(bus.channel("acme.upper", ["emit:acme.*"])):
        module.emit("acme.done", payload={"payload": 1})
        with pytest.raises(BusDeniedError):
            module.emit("config.update")
    assert [(message.source, message.payload) for message in seen] == [
        ("acme.upper", {"payload": 1})
    ]


def test_a_message_goes_to_all_who_subscribed_to_its_type_and_to_nobody_else(bus: Bus) -> None:
    config, everything, other = heard(bus, "config.*"), heard(bus), heard(bus, "job.done")
    sent = bus.emit("config.update", 1)
    assert config == everything == [sent]
    assert other == []


def test_who_subscribes_or_closes_later_is_seen_by_the_next_emit(bus: Bus) -> None:
    bus.emit("a.b")
    seen: list[Message] = []
    with bus.subscribe("a.*", seen.append, inline=True):
        bus.emit("a.b", 1)
    bus.emit("a.b", 2)
    assert [message.payload for message in seen] == [1]


@pytest.mark.parametrize(
    ("event", "options", "payload"),
    [
        (None, {}, None),
        ({"timeout": 1}, {}, {"timeout": 1}),
        ({"payload": 5}, {}, 5),
        ({"source": "x"}, {}, {"source": "x"}),
        (None, {"payload": {"payload": 1, "more": 2}}, {"payload": 1, "more": 2}),
        (7, {"subject": "s"}, 7),
        ([1], {}, [1]),
        (b"\x00", {"dataref": "oag-shm:1"}, b"\x00"),
    ],
)
def test_an_event_is_a_payload_or_an_envelope_around_one(
    bus: Bus, event: object, options: dict[str, str], payload: object
) -> None:
    seen = heard(bus)
    bus.emit("a.b", event, **options)  # type: ignore[arg-type]  # options of several kinds
    assert seen[0].payload == payload
    assert seen[0].subject == options.get("subject")
    assert seen[0].dataref == options.get("dataref")


@pytest.mark.parametrize(
    ("type_", "event", "options"),
    [
        ("", 1, {}),
        ("a b", 1, {}),
        ("config.*", 1, {}),
        ("a", {"payload": 1, "sauce": 2}, {}),
        ("a", {"payload": 1}, {"payload": 2}),
        ("a", 1, {"payload": 2}),
        ("a", {"payload": 1, "source": ""}, {}),
        ("a", {"payload": 1, "source": "x y"}, {}),
        ("a", {"payload": 1, "subject": 5}, {}),
        ("a", {"payload": 1, 5: 6}, {}),
        ("a", 1, {"colour": "red"}),
    ],
)
def test_what_is_no_event_is_refused_and_nobody_sees_it(
    bus: Bus, type_: str, event: object, options: dict[str, object]
) -> None:
    seen = heard(bus)
    with pytest.raises(MessageError):
        bus.emit(type_, event, **options)  # type: ignore[arg-type]  # what is refused
    assert seen == []


def test_a_channel_stamps_its_source_and_refuses_every_other(tmp_path: Path) -> None:
    with AuditLog(tmp_path / "a") as audit, Bus(audit=audit) as bus:
        seen = heard(bus)
        channel = bus.channel("plugin.auth", ["emit:config.*"])
        channel.emit("config.update", 1)
        channel.emit("config.update", {"source": "plugin.auth", "payload": 2})
        channel.publish(Message("config.update", "plugin.auth", 3))
        for source in ("core", "plugin.other", "", None, 5, ["plugin.auth"], "PLUGIN.AUTH"):
            with pytest.raises(SourceForgedError):
                channel.emit("config.update", {"source": source, "payload": 4})
        with pytest.raises(SourceForgedError):
            channel.publish(Message("config.update", "core", 4))
        assert [(message.source, message.payload) for message in seen] == [
            ("plugin.auth", 1),
            ("plugin.auth", 2),
            ("plugin.auth", 3),
        ]
        assert bus.refusals == 8
    lines = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["forged"] * 8
    assert (lines[0]["source"], lines[0]["claimed"]) == ("plugin.auth", "core")
    assert verify(tmp_path / "a").ok


def test_a_channel_may_do_what_its_permissions_say_and_all_else_is_audited(tmp_path: Path) -> None:
    with AuditLog(tmp_path / "a") as audit, Bus(audit=audit) as bus:
        bus.respond("model.generate", lambda _: "text")
        channel = bus.channel("acme", ["emit:acme.*", "subscribe:config.*", "call:model.generate"])
        channel.emit("acme.done")
        channel.subscribe("config.update", print).close()
        assert channel.request("model.generate").payload == "text"
        for refused in (
            lambda: channel.emit("config.update"),
            lambda: channel.publish(Message("config.update", "acme")),
            lambda: channel.subscribe("*", print),
            lambda: channel.subscribe("acme.*", print),
            lambda: channel.consume("acme.*", print, name="c"),
            lambda: channel.request("model.load"),
            lambda: channel.respond("model.generate", print),
            lambda: channel.subscribe("config.*", print, inline=True),
        ):
            with pytest.raises(BusDeniedError):
                refused()
    verbs = [json.loads(line)["verb"] for line in (tmp_path / "a").read_text().splitlines()]
    assert verbs == [
        *("emit", "emit", "subscribe", "subscribe", "subscribe", "call", "respond"),
        "subscribe inline",
    ]


def test_permissions_taken_back_hold_from_the_next_message_on() -> None:
    with Bus(permissions=PermissionTable.of({"p": ["emit:a"]})) as bus:
        channel = bus.channel("p", ["emit:b"])
        channel.emit("a")
        channel.emit("b")
        bus._hub.permissions = PermissionTable()
        with pytest.raises(BusDeniedError):
            channel.emit("a")


def test_closing_a_channel_takes_back_its_own_permissions_alone() -> None:
    with Bus(permissions=PermissionTable.of({"p": ["emit:a"]})) as bus:
        with bus.channel("p", ["emit:b"]) as channel:
            seen: list[Message] = []
            subscribed = bus.channel("q", ["subscribe:a"])
            subscribed.subscribe("a", seen.append)
        assert bus.permissions.of_source("p") == ("emit:a",)
        with pytest.raises(BusClosedError):
            channel.emit("a")
        with pytest.raises(BusClosedError):
            channel.subscribe("a", print)
        subscribed.close()
        bus.emit("a")
        assert seen == []
        bus.channel("p").emit("a")


def test_a_source_has_one_channel_and_nobody_is_the_host(bus: Bus) -> None:
    bus.channel("p")
    for source in ("p", "core", "core.sub", "CORE"):
        with pytest.raises(NameTakenError):
            bus.channel(source)
    with pytest.raises(MessageError):
        bus.channel("a b")


def test_without_an_outbox_a_durable_message_is_refused_in_words(bus: Bus) -> None:
    with pytest.raises(OutboxError, match="SqliteOutbox"):
        bus.emit("a", 1, durable=True)
    with pytest.raises(OutboxError):
        bus.consume("a", print, name="c")


def test_types_without_end_do_not_make_the_routes_grow_without_end(bus: Bus) -> None:
    for number in range(5000):
        bus.emit(f"t{number}")
    assert 0 < len(bus._routes.own) <= 4096


def test_a_full_disk_does_not_turn_a_refusal_into_something_else(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from openautoglm.bus import *; from openautoglm.errors import *\n"
        "with AuditLog(sys.argv[1]) as audit, Bus(audit=audit) as bus:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (50, -1))\n"
        "    try: bus.channel('p').emit('a')\n"
        "    except BusDeniedError: print('denied')\n"
    )
    path = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "denied\n"
    assert "the audit log did not take denied" in done.stderr
    assert path.read_bytes() == b""


def test_an_audit_log_that_is_closed_does_not_turn_a_refusal_into_something_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = AuditLog(tmp_path / "a")
    audit.close()
    with Bus(audit=audit) as bus, bus.channel("p") as channel:
        with pytest.raises(BusDeniedError):
            channel.emit("a")
        with pytest.raises(SourceForgedError):
            channel.emit("a", {"source": "core", "payload": 1})
        assert bus.refusals == 2
    assert "the audit log did not take forged" in caplog.text


def test_importing_the_bus_starts_no_thread_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, threading; from openautoglm import bus; bus.emit('a.b', 1)\n"
        "heavy = {'asyncio', 'sqlite3', 'nats', 'redis', 'numpy', 'torch', 'cloudevents'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
