"""Whatever is handed to the bus can be told in words, and those can be stored and sent."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.bus import Bus, Message, Retry
from openautoglm.bus.bridge import Attachment, RemotePort
from openautoglm.bus.outboxes.sqlite import SqliteOutbox
from openautoglm.bus.words import MAX_TEXT, shown, told, written
from openautoglm.errors import MessageError, OpenAutoGLMError, RespondFailedError

if TYPE_CHECKING:
    from pathlib import Path

LONG_S = 30.0  # what no test waits for unless it fails


class Mute(Exception):  # noqa: N818 - what it is called does not matter
    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


ERRORS = [
    Mute(),
    ValueError("\ud800"),
    ValueError("x" * 5_000_000),
    MessageError("\ud800", got=Mute()),
]


@given(st.text() | st.text(st.characters(categories=["Cs"])))
def test_what_is_written_can_be_sent(text: str) -> None:
    assert len(written(text).encode()) >= len(text)
    assert written("ü") == "ü"


@pytest.mark.parametrize(
    "what", [Mute(), "\ud800", "x" * 5_000_000, [[[[[[[[1]]]]]]]], {5: Mute()}]
)
def test_what_is_shown_is_short(what: object) -> None:
    assert len(shown(what).encode()) < 1000


@pytest.mark.parametrize("error", ERRORS[:3])
def test_what_is_told_of_an_error_is_short(error: Exception) -> None:
    assert told(error).startswith(type(error).__name__)
    assert len(told(error).encode()) < MAX_TEXT + 100


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_responder_raises_the_one_who_asked_is_told_and_the_next_is_answered(
    error: Exception,
) -> None:
    def answer(request: Message) -> int:
        if request.payload is None:
            raise error
        return 1

    ours, theirs = socket.socketpair()
    with (
        Bus() as bus,
        bus.channel("acme", ["respond:far"]) as channel,
        Attachment(channel, ours),
    ):
        remote = RemotePort(theirs, "acme")
        bus.respond("near", answer)
        remote.respond("far", answer)
        for type_ in ("near", "far"):
            with pytest.raises(OpenAutoGLMError) as caught:
                bus.request(type_, deadline_s=LONG_S)
            assert isinstance(caught.value, RespondFailedError | MessageError)
            assert bus.request(type_, 1, deadline_s=LONG_S).payload == 1
        remote.close()


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_consumer_raises_its_message_is_set_aside(
    error: Exception, tmp_path: Path
) -> None:
    is_next_taken = threading.Event()

    def take(message: Message) -> None:
        if message.payload is None:
            raise error
        is_next_taken.set()

    with SqliteOutbox(tmp_path / "o") as outbox, Bus(outbox=outbox) as bus:
        consumer = bus.consume("a", take, name="c", retry=Retry(tries=1))
        bus.emit("a", durable=True)
        bus.emit("a", 1, durable=True)
        assert is_next_taken.wait(LONG_S)
        consumer.close()
        assert consumer.quarantined == 1
        assert len(outbox.quarantined("core/c")) == 1
