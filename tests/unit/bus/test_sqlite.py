"""What the outbox in a file does beyond every outbox: owners, age, versions, other processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from math import inf, nan
from typing import TYPE_CHECKING

import pytest

import openautoglm.bus as module
from openautoglm.bus import Bus, Message, Retry
from openautoglm.bus.outboxes.sqlite import SqliteOutbox
from openautoglm.errors import InvalidParameterError, NameTakenError, OutboxError

if TYPE_CHECKING:
    from pathlib import Path

LONG_S = 30.0
PUT = """
import sys
from openautoglm.bus import Message
from openautoglm.bus.outboxes.sqlite import SqliteOutbox
with SqliteOutbox(sys.argv[1]) as outbox:
    outbox.put(Message("job.done", "core", "from another process"))
"""
HOLD = """
import sys
from openautoglm.bus.outboxes.sqlite import SqliteOutbox
feed = SqliteOutbox(sys.argv[1]).feed("worker", "*")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_a_consumer_is_open_once_in_all_processes(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    with SqliteOutbox(path) as outbox:
        with pytest.raises(NameTakenError, match="`worker` is open already"):
            outbox.feed("worker", "*")
        outbox.feed("another", "*").close()
        holder.kill()
        holder.communicate()
        first = outbox.feed("worker", "*")
        with pytest.raises(NameTakenError):
            outbox.feed("worker", "*")
        first.close()


def test_what_another_process_stores_is_found(path: Path) -> None:
    with SqliteOutbox(path) as outbox:
        feed = outbox.feed("worker", "job.*")
        subprocess.run([sys.executable, "-c", PUT, str(path)], check=True)
        claim = feed.next(LONG_S)
        assert claim is not None
        assert claim.message.payload == "from another process"
        feed.close()


def test_messages_all_have_handled_are_forgotten_when_they_are_old(path: Path) -> None:
    with SqliteOutbox(path, keep_s=-1) as outbox:
        feed = outbox.feed("worker", "job.*")
        for number in range(3):
            outbox.put(Message("job.done", "core", number, id=str(number)))
        claim = feed.next(LONG_S)
        assert claim is not None
        feed.ack(claim)
        claim = feed.next(LONG_S)
        assert claim is not None
        feed.quarantine(claim, "bad")
        outbox.prune()
        feed.close()
        assert [aside.message.payload for aside in outbox.quarantined("worker")] == [1]
        assert outbox.put(Message("job.done", "core", id="0"))
        assert not outbox.put(Message("job.done", "core", id="1"))
        assert not outbox.put(Message("job.done", "core", id="2"))


def test_a_forgotten_consumer_leaves_nothing(path: Path) -> None:
    with SqliteOutbox(path, keep_s=-1) as outbox:
        outbox.feed("worker", "job.*").close()
        outbox.put(Message("job.done", "core", 1))
        outbox.forget("worker")
        outbox.prune()
        feed = outbox.feed("worker", "job.*")
        assert feed.next(0) is None
        feed.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (0,)


def test_full_synchronous_is_what_the_file_is_opened_with(path: Path) -> None:
    for synchronous, number in (("normal", 1), ("full", 2)):
        with SqliteOutbox(path, synchronous=synchronous) as outbox:  # type: ignore[arg-type]  # of a tuple
            found = outbox._connection.execute("PRAGMA synchronous").fetchone()
            assert found == (number,)


def test_a_file_that_is_none_of_ours_is_refused_in_words(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(OutboxError, match="not a database"):
        SqliteOutbox(path)
    with pytest.raises(OutboxError, match="unable to open"):
        SqliteOutbox(tmp_path / "nowhere" / "outbox.db")
    later = tmp_path / "later.db"
    with sqlite3.connect(later) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OutboxError, match="later version"):
        SqliteOutbox(later)


def test_durable_types_are_stored_without_saying_so_at_each_emit(path: Path) -> None:
    with SqliteOutbox(path) as outbox, Bus(outbox=outbox, durable=["job.*"]) as bus:
        live: list[Message] = []
        bus.subscribe("*", live.append, inline=True)
        outbox.feed("worker", "*").close()
        for _ in range(2):
            bus.emit("job.done")
            bus.emit("config.update")
        feed = outbox.feed("worker", "*")
        found = []
        while (claim := feed.next(0.01)) is not None:
            feed.ack(claim)
            found.append(claim.message.type)
        feed.close()
    assert found == ["job.done"] * 2
    assert len(live) == 4


def test_a_channel_has_consumer_names_of_its_own(path: Path) -> None:
    with SqliteOutbox(path) as outbox, Bus(outbox=outbox) as bus:
        ours = bus.consume("job.*", print, name="worker")
        channel = bus.channel("acme", ["subscribe:job.*"])
        theirs = channel.consume("job.*", print, name="worker")
        assert (ours.name, theirs.name) == ("core/worker", "acme/worker")


def test_an_async_durable_handler_and_retries_without_sense_are_refused(path: Path) -> None:
    async def handler(_: Message) -> None:
        pass

    with SqliteOutbox(path) as outbox, Bus(outbox=outbox) as bus:
        with pytest.raises(InvalidParameterError):
            bus.consume("job.*", handler, name="worker")
        bus.consume("job.*", print, name="worker").close()
    for options in (
        *({"tries": 0}, {"factor": 0.5}, {"jitter": 2.0}, {"first_s": -1.0}, {"limit_s": -1.0}),
        *({"first_s": nan}, {"limit_s": nan}, {"jitter": nan}, {"factor": inf}, {"limit_s": inf}),
    ):
        with pytest.raises(InvalidParameterError):
            Retry(**options)


def test_waits_grow_to_their_limit_and_never_overflow() -> None:
    retry = Retry(first_s=1, factor=10, limit_s=50, jitter=0)
    assert [retry.delay_s(n) for n in (1, 2, 3, 10_000)] == [1, 10, 50, 50]
    assert 0.5 <= Retry(first_s=1, jitter=0.5).delay_s(1) <= 1
    assert Retry(first_s=0, factor=1e10, jitter=0).delay_s(1) == 0
    assert Retry(factor=1e10, limit_s=50, jitter=0).delay_s(40) == 50


def test_a_durable_handler_that_hangs_is_said_at_close_and_all_else_is_closed(path: Path) -> None:
    go, entered = threading.Event(), threading.Event()

    def hang(_: Message) -> None:
        entered.set()
        go.wait(LONG_S)

    with SqliteOutbox(path) as outbox:
        bus = Bus(outbox=outbox)
        other = bus.subscribe("job.*", print)
        worker = bus.consume("job.*", hang, name="worker")
        bus.emit("job.done", durable=True)
        assert entered.wait(LONG_S)
        with pytest.raises(OutboxError, match="does not return"):
            worker.close(timeout_s=0.01)
        bus.close()
        assert not other._thread or not other._thread.is_alive()
        go.set()
        worker.close()
        outbox.feed("core/worker", "job.*").close()


def test_a_durable_handler_may_close_its_own_consumer(path: Path) -> None:
    closed = threading.Event()

    def close(_: Message) -> None:
        worker.close()
        closed.set()

    with SqliteOutbox(path) as outbox, Bus(outbox=outbox) as bus:
        worker = bus.consume("job.*", close, name="worker")
        bus.emit("job.done", durable=True)
        assert closed.wait(LONG_S)
        worker._thread.join(LONG_S)
        outbox.feed("core/worker", "job.*").close()


def test_a_locked_file_is_said_and_the_consumer_goes_on_afterwards(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openautoglm.bus.outboxes.sqlite._BUSY_S", 0.01)
    handled = threading.Event()
    with SqliteOutbox(path) as outbox, Bus(outbox=outbox) as bus:
        bus.consume("job.*", lambda _: handled.set(), name="worker")
        bus.emit("job.done", 1, id="1", durable=True)
        assert handled.wait(LONG_S)
        handled.clear()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutboxError, match="locked"):
            bus.emit("job.done", 2, id="2", durable=True)
        other.execute("ROLLBACK")
        other.close()
        bus.emit("job.done", 2, id="2", durable=True)
        assert handled.wait(LONG_S)


def test_the_module_consumes_and_asks_too(path: Path) -> None:
    handled = threading.Event()
    with SqliteOutbox(path) as outbox, Bus(outbox=outbox) as bus, module.speaking_as(bus):
        with module.consume("job.*", lambda _: handled.set(), name="worker"):
            module.emit("job.done", durable=True)
            assert handled.wait(LONG_S)
        with module.respond("text.upper", lambda m: str(m.payload).upper()):
            assert module.request("text.upper", "a", deadline_s=LONG_S).payload == "A"
