"""A worker has its channel over a socket, and nothing it writes there gives it more."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import openautoglm.bus as module
from openautoglm.bus import Bus, Message, Retry
from openautoglm.bus.bridge import MAX_REQUESTS, Attachment, RemotePort
from openautoglm.bus.outboxes.memory import MemoryOutbox
from openautoglm.bus.wire import MAX_FRAME_BYTES, Answer, Ask
from openautoglm.errors import (
    BusClosedError,
    BusDeniedError,
    InvalidParameterError,
    MessageError,
    ModelNotFoundError,
    NoResponderError,
    RespondFailedError,
    SourceForgedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_S = 30.0
ALL = ["emit:acme.*", "subscribe:acme.*", "call:acme.*", "respond:acme.*"]
PLUGIN = """
import socket, sys
from openautoglm import bus
from openautoglm.bus.bridge import RemotePort
bus.use(RemotePort(socket.socket(fileno=int(sys.argv[1])), "acme"))
bus.emit("acme.done", {"source": "acme", "payload": 1})
for event in ({"source": "core", "payload": 2}, {"source": "other", "payload": 2}):
    try:
        bus.emit("acme.done", event)
    except Exception as error:
        print(type(error).__name__)
with bus.respond("acme.upper", lambda message: message.payload.upper()):
    print(bus.request("acme.lower", "X").payload)
"""


@contextmanager
def joined(bus: Bus, *permissions: str) -> Iterator[RemotePort]:
    ours, theirs = socket.socketpair()
    with (
        bus.channel("acme", permissions or ALL) as channel,
        Attachment(channel, ours),
    ):
        port = RemotePort(theirs, "acme")
        try:
            yield port
        finally:
            port.close()


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus(outbox=MemoryOutbox()) as bus:
        yield bus


def test_what_a_worker_emits_is_stamped_and_heard_by_the_host(bus: Bus) -> None:
    seen: list[Message] = []
    bus.subscribe("*", seen.append, inline=True)
    with joined(bus) as port:
        sent = port.emit("acme.done", {"n": 1}, subject="s", id="7")
        port.emit("acme.bytes", b"\x00", dataref="oag-shm:1")
    assert seen[0] == sent
    assert (seen[0].source, seen[0].id, seen[0].payload) == ("acme", "7", {"n": 1})
    assert (seen[1].payload, seen[1].dataref) == (b"\x00", "oag-shm:1")


def test_refusals_are_raised_in_the_worker_and_counted_in_the_host(bus: Bus) -> None:
    with joined(bus, "emit:acme.*") as port:
        with pytest.raises(SourceForgedError):
            port.emit("acme.done", {"source": "core", "payload": 1})
        with pytest.raises(BusDeniedError):
            port.emit("config.update", 1)
        with pytest.raises(BusDeniedError):
            port.subscribe("*", print)
        with pytest.raises(BusDeniedError):
            port.request("acme.upper")
        with pytest.raises(BusDeniedError):
            port.respond("acme.upper", print)
        assert bus.refusals == 5
        with pytest.raises(BusDeniedError):
            port.subscribe("acme.*", print, inline=True)
        with pytest.raises(MessageError):
            port.emit("acme.done", object())
        with pytest.raises(InvalidParameterError):
            port.respond("acme.upper", print, threads=0)


def test_a_worker_hears_what_it_subscribed_to_until_it_closes(bus: Bus) -> None:
    seen: list[object] = []
    heard = threading.Condition()

    def hear(message: Message) -> None:
        with heard:
            seen.append(message.payload)
            heard.notify_all()

    with joined(bus) as port:
        with port.subscribe("acme.*", hear):
            for number in range(100):
                bus.emit("acme.done", number)
            bus.emit("config.update", 100)
            with heard:
                assert heard.wait_for(lambda: len(seen) == 100, LONG_S)
        bus.emit("acme.done", 101)
        port.emit("acme.done", 102)
    assert seen == list(range(100))


def test_a_worker_may_emit_and_ask_while_it_handles(bus: Bus) -> None:
    bus.respond("acme.double", lambda m: int(str(m.payload)) * 2)
    seen: list[object] = []
    bus.subscribe("acme.answer", lambda m: seen.append(m.payload), inline=True)
    with joined(bus) as port:

        def answer(message: Message) -> None:
            port.emit("acme.answer", port.request("acme.double", message.payload).payload)

        subscription = port.subscribe("acme.question", answer)
        bus.emit("acme.question", 21)
        done = threading.Event()
        bus.subscribe("acme.answer", lambda _: done.set(), inline=True)
        assert seen or done.wait(LONG_S)
        subscription.close()
    assert seen == [42]


def test_a_worker_answers_requests_and_its_errors_reach_who_asked(bus: Bus) -> None:
    def answer(message: Message) -> object:
        if message.payload == "none":
            raise ModelNotFoundError("no model", got="x", fix="download it")
        if message.payload == "zero":
            return 1 / 0
        return Message("forged.type", "core", str(message.payload).upper(), dataref="ref")

    with joined(bus) as port, port.respond("acme.upper", answer, threads=2):
        reply = bus.request("acme.upper", "text", deadline_s=LONG_S)
        assert (reply.type, reply.source, reply.payload) == ("acme.upper.reply", "acme", "TEXT")
        assert reply.dataref == "ref"
        with pytest.raises(ModelNotFoundError, match="download it"):
            bus.request("acme.upper", "none", deadline_s=LONG_S)
        with pytest.raises(RespondFailedError, match="ZeroDivisionError"):
            bus.request("acme.upper", "zero", deadline_s=LONG_S)
    with pytest.raises(NoResponderError):
        bus.request("acme.upper", "text")


def test_a_worker_consumes_durable_messages_and_acknowledges_by_returning(bus: Bus) -> None:
    seen: list[object] = []
    done = threading.Event()

    def handle(message: Message) -> None:
        seen.append(message.payload)
        if len(seen) < 3:
            raise ValueError("not yet")
        done.set()

    with joined(bus) as port:
        retry = Retry(first_s=0.01)
        with port.consume("acme.*", handle, name="worker", retry=retry):
            port.emit("acme.done", "precious", durable=True)
            assert done.wait(LONG_S)
    assert seen == ["precious"] * 3


def test_the_end_of_the_worker_ends_what_it_opened_and_nothing_else(bus: Bus) -> None:
    with joined(bus) as port:
        port.respond("acme.upper", lambda _: 1)
        port.subscribe("acme.*", print)
        assert bus.request("acme.upper", deadline_s=LONG_S).payload == 1
        port.close()
        with pytest.raises(BusClosedError):
            port.emit("acme.done")
    with pytest.raises(NoResponderError):
        bus.request("acme.upper")
    bus.emit("acme.done")


def test_the_end_of_the_host_ends_requests_of_the_worker(bus: Bus) -> None:
    go, entered = threading.Event(), threading.Event()

    def hang(_: Message) -> None:
        entered.set()
        go.wait(LONG_S)

    bus.respond("acme.slow", hang)
    ours, theirs = socket.socketpair()
    attachment = Attachment(bus.channel("acme", ALL), ours)
    port = RemotePort(theirs, "acme")
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            port.request("acme.slow", deadline_s=LONG_S)
        except BusClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert entered.wait(LONG_S)
    attachment.close()
    thread.join()
    go.set()
    port.close()
    assert len(errors) == 1


def test_a_worker_that_asks_too_much_at_once_is_refused(bus: Bus) -> None:
    go = threading.Event()
    entered = threading.Semaphore(0)

    def hang(_: Message) -> None:
        entered.release()
        go.wait(LONG_S)

    bus.respond("acme.slow", hang, threads=MAX_REQUESTS)
    with joined(bus) as port:
        threads = [
            threading.Thread(target=port.request, args=("acme.slow",)) for _ in range(MAX_REQUESTS)
        ]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert entered.acquire(timeout=LONG_S)
        with pytest.raises(RespondFailedError, match="too much"):
            port.request("acme.slow")
        go.set()
        for thread in threads:
            thread.join()


def test_a_plugin_in_another_process_speaks_as_itself_alone(bus: Bus) -> None:
    seen: list[Message] = []
    bus.subscribe("*", seen.append, inline=True)
    bus.respond("acme.lower", lambda m: bus.request("acme.upper", f"{m.payload}y").payload)
    ours, theirs = socket.socketpair()
    with bus.channel("acme", ALL) as channel, Attachment(channel, ours), theirs:
        done = subprocess.run(
            [sys.executable, "-c", PLUGIN, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert done.stdout.split() == ["SourceForgedError", "SourceForgedError", "XY"]
    assert [message.source for message in seen] == ["acme"]


def test_a_worker_that_writes_frames_itself_gets_no_further(bus: Bus) -> None:
    seen: list[Message] = []
    bus.subscribe("*", seen.append, inline=True)
    forged = Message("acme.done", "core", 1).to_json()
    wide = Message("config.update", "acme", 1).to_json()
    asks = [
        Ask(number=1, verb="emit", message=forged),
        Ask(number=2, verb="emit", message=wide),
        Ask(number=3, verb="emit", message=b"nonsense"),
        Ask(number=4, verb="request", message=forged, deadline_s=1),
        Ask(number=5, verb="deliver", handle=1),
        Ask(number=6, verb="subscribe", what="*", handle=1),
        Ask(number=7, verb="respond", what="model.generate", handle=1),
        Ask(number=8, verb="subscribe", what="acme.*", handle=1),
        Ask(number=9, verb="subscribe", what="acme.*", handle=1),
        Ask(number=10, verb="close", handle=99),
    ]
    codes = exchange(bus, asks)
    assert codes == {
        1: "OAG702",
        2: "OAG703",
        3: "OAG701",
        4: "OAG702",
        5: "OAG701",
        6: "OAG703",
        7: "OAG703",
        8: None,
        9: "OAG310",
        10: None,
    }
    assert seen == []


def exchange(bus: Bus, asks: list[Ask]) -> dict[int, str | None]:
    """Return the code of the error each ask is answered with."""
    ours, theirs = socket.socketpair()
    found: dict[int, str | None] = {}
    with bus.channel("acme", ALL) as channel, Attachment(channel, ours), theirs:
        for ask in asks:
            body = msgspec.msgpack.encode(ask)
            theirs.sendall(struct.pack(">I", len(body)) + body)
        with theirs.makefile("rb") as stream:
            while len(found) < len(asks):
                (length,) = struct.unpack(">I", stream.read(4))
                answer = msgspec.msgpack.decode(stream.read(length), type=Answer)
                found[answer.number] = None if answer.error is None else answer.error[0]
    return found


@settings(deadline=None, max_examples=50)
@example(msgspec.msgpack.encode(Ask(number=1, verb="xx")).replace(b"xx", b"\xff\xff"))
@given(st.binary(max_size=64) | st.just(struct.pack(">I", MAX_FRAME_BYTES + 1)))
def test_nonsense_ends_the_connection_and_not_the_host(nonsense: bytes) -> None:
    ours, theirs = socket.socketpair()
    with Bus() as bus, bus.channel("acme", ALL) as channel, Attachment(channel, ours), theirs:
        theirs.sendall(struct.pack(">I", len(nonsense)) + nonsense)
        theirs.shutdown(socket.SHUT_WR)
        with theirs.makefile("rb") as stream:
            stream.read()
        bus.emit("acme.done")


def test_a_worker_that_does_not_read_holds_up_nobody_else(bus: Bus) -> None:
    ours, theirs = socket.socketpair()
    with bus.channel("acme", ALL) as channel, Attachment(channel, ours), theirs:
        body = msgspec.msgpack.encode(
            Ask(number=1, verb="subscribe", what="acme.*", handle=1, count=10)
        )
        theirs.sendall(struct.pack(">I", len(body)) + body)
        assert theirs.recv(1)
        seen: list[object] = []
        bus.subscribe("acme.*", lambda m: seen.append(m.payload), inline=True)
        for number in range(200):
            bus.emit("acme.done", [number, "x" * 10_000])
        assert len(seen) == 200


def test_the_module_takes_a_remote_port(bus: Bus) -> None:
    with joined(bus) as port:
        before = module.use(port)
        try:
            assert module.emit("acme.done").source == "acme"
        finally:
            module.use(before or Bus())
