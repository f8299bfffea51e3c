"""What stores on servers bear: nonsense in their streams, a server that is away, none at all."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import nats
import pytest
import redis

from openautoglm.bus import Bus, Message, Retry
from openautoglm.bus.outboxes.nats import NatsOutbox
from openautoglm.bus.outboxes.redis import RedisOutbox
from openautoglm.errors import InvalidParameterError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from openautoglm.bus import Outbox

    Starts = Callable[[str, str, int], AbstractContextManager[str]]

LONG_S = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def outbox_of(kind: str, port: int) -> Outbox:
    if kind == "nats":
        return NatsOutbox(f"nats://127.0.0.1:{port}", stream="restarted", timeout_s=2)
    return RedisOutbox(f"redis://127.0.0.1:{port}/0", prefix="restarted", timeout_s=2)


@pytest.mark.parametrize("kind", ["nats", "redis"])
def test_a_consumer_goes_on_when_its_server_comes_back(kind: str, server: Starts) -> None:
    seen: list[object] = []
    changed = threading.Condition()

    def hear(message: Message) -> None:
        with changed:
            seen.append(message.payload)
            changed.notify_all()

    port = free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        with server(kind, folder, port):
            outbox = outbox_of(kind, port)
            stack.callback(outbox.close)
            bus = stack.enter_context(Bus(outbox=outbox))
            bus.consume("job.*", hear, name="worker", retry=Retry(first_s=0.01))
            bus.emit("job.done", "before", durable=True)
            with changed:
                assert changed.wait_for(lambda: seen == ["before"], LONG_S)
        with pytest.raises(OutboxError):
            bus.emit("job.done", "meanwhile", durable=True)
        with server(kind, folder, port):
            emit_until_taken(bus, "after")
            with changed:
                assert changed.wait_for(lambda: "after" in seen, LONG_S), seen
            bus.close()
            outbox.close()


def emit_until_taken(bus: Bus, payload: object) -> None:
    """Emit one message until the connection is back; it has one id, so it is stored once."""
    for attempt in range(50):
        try:
            bus.emit("job.done", payload, durable=True, id="after")
        except OutboxError:
            if attempt == 49:
                raise
        else:
            return


def test_nonsense_in_the_stream_is_thrown_away_and_holds_up_nobody(
    nats_url: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def publish() -> None:
        connection = await nats.connect(nats_url)
        await connection.jetstream().publish("nonsense.message.job.done", b"nonsense")
        await connection.close()

    with (
        NatsOutbox(nats_url, stream="nonsense") as by_nats,
        RedisOutbox(redis_url, prefix="nonsense") as by_redis,
        redis.Redis.from_url(redis_url) as client,
    ):
        for outbox in (by_nats, by_redis):
            feed = outbox.feed("worker", "*")
            if outbox is by_nats:
                asyncio.run(publish())
            else:
                client.xadd("nonsense:messages", {"m": "nonsense"})
                client.xadd("nonsense:messages", {"colour": "red"})
            outbox.put(Message("job.done", "core", "sense"))
            claim = feed.next(LONG_S)
            assert claim is not None
            assert claim.message.payload == "sense"
            feed.ack(claim)
            feed.close()
    said = [record.getMessage() for record in caplog.records]
    assert sum("is no message and is thrown away" in line for line in said) == 3


@pytest.mark.parametrize("kind", ["nats", "redis"])
def test_without_a_server_the_error_names_the_address(kind: str) -> None:
    port = free_port()
    with pytest.raises(OutboxError, match=f"127.0.0.1:{port}"):
        outbox_of(kind, port)


def test_a_stream_has_a_name_that_subjects_can_start_with() -> None:
    with pytest.raises(InvalidParameterError):
        NatsOutbox("nats://127.0.0.1:1", stream="a.b")
