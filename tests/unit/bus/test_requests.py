"""A request comes to exactly one outcome, before its deadline."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from openautoglm.bus import Bus, Message
from openautoglm.bus.requests import WAITING, Call, Responder
from openautoglm.errors import (
    BusClosedError,
    DeadlineExceededError,
    InvalidParameterError,
    ModelNotFoundError,
    NameTakenError,
    NoResponderError,
    RespondFailedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_S = 30.0


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus() as bus:
        yield bus


def test_a_request_is_answered_with_who_answered_and_what_was_asked(bus: Bus) -> None:
    channel = bus.channel("acme", ["respond:acme.upper"])
    asked: list[Message] = []

    def upper(request: Message) -> str:
        asked.append(request)
        return str(request.payload).upper()

    channel.respond("acme.upper", upper)
    reply = bus.request("acme.upper", "text", deadline_s=LONG_S)
    assert (reply.type, reply.source, reply.payload) == ("acme.upper.reply", "acme", "TEXT")
    assert reply.extensions == {"inreplyto": asked[0].id}
    assert asked[0].source == "core"


def test_a_tensor_is_asked_and_answered_by_reference(bus: Bus) -> None:
    bus.respond("relu", lambda m: Message("ignored", "forged", dataref=f"{m.dataref}/out"))
    reply = bus.request("relu", dataref="oag-shm:1", deadline_s=LONG_S)
    assert (reply.dataref, reply.source, reply.type) == ("oag-shm:1/out", "core", "relu.reply")


def test_nobody_answering_is_said_at_once(bus: Bus) -> None:
    with pytest.raises(NoResponderError, match="answered are: none"):
        bus.request("model.generate", deadline_s=LONG_S)
    bus.respond("model.generate", lambda _: 1).close()
    with pytest.raises(NoResponderError):
        bus.request("model.generate", deadline_s=LONG_S)


def test_a_second_responder_is_refused(bus: Bus) -> None:
    bus.respond("a", lambda _: 1)
    with pytest.raises(NameTakenError, match="answered already"):
        bus.respond("a", lambda _: 2)
    assert bus.request("a", deadline_s=LONG_S).payload == 1


def test_a_reply_after_the_deadline_is_thrown_away_and_counted(bus: Bus) -> None:
    go, done = threading.Event(), threading.Event()

    def hang(_: Message) -> int:
        go.wait(LONG_S)
        return 1

    responder = bus.respond("a", hang)
    with pytest.raises(DeadlineExceededError, match=r"within 0\.01 s"):
        bus.request("a", deadline_s=0.01)
    go.set()
    bus.respond("b", lambda _: done.set())
    responder.close()
    assert (responder.answered, responder.late) == (0, 1)


def test_a_request_whose_deadline_passed_while_it_waited_is_not_run(bus: Bus) -> None:
    go, entered = threading.Event(), threading.Event()
    ran: list[object] = []

    def hang(message: Message) -> None:
        ran.append(message.payload)
        entered.set()
        go.wait(LONG_S)

    responder = bus.respond("a", hang)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(bus.request, "a", 1, deadline_s=LONG_S)
        assert entered.wait(LONG_S)
        with pytest.raises(DeadlineExceededError):
            bus.request("a", 2, deadline_s=0.01)
        go.set()
        first.result()
    responder.close()
    assert ran == [1]


def test_an_error_of_the_framework_reaches_the_one_who_asked(bus: Bus) -> None:
    def fail(_: Message) -> None:
        raise ModelNotFoundError("no model", got="x", fix="download it")

    bus.respond("a", fail)
    with pytest.raises(ModelNotFoundError, match="download it"):
        bus.request("a", deadline_s=LONG_S)


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), SystemExit(3)])
def test_any_other_error_says_that_the_responder_failed(bus: Bus, error: BaseException) -> None:
    def fail(_: Message) -> None:
        raise error

    bus.respond("a", fail)
    for _ in range(2):
        with pytest.raises(RespondFailedError) as caught:
            bus.request("a", deadline_s=LONG_S)
        assert caught.value.__cause__ is error


def test_closing_ends_requests_that_wait(bus: Bus) -> None:
    go, entered = threading.Event(), threading.Event()

    def hang(_: Message) -> int:
        entered.set()
        go.wait(LONG_S)
        return 1

    responder = bus.respond("a", hang)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(bus.request, "a", deadline_s=LONG_S)
        assert entered.wait(LONG_S)
        call = Call(Message("a", "core"), LONG_S)
        responder.take(call)
        responder.close(timeout_s=0)
        with pytest.raises(BusClosedError):
            call.result()
        go.set()
        assert running.result().payload == 1
    late = Call(Message("a", "core"), LONG_S)
    responder.take(late)
    with pytest.raises(BusClosedError):
        late.result()


def test_too_many_requests_are_refused_at_once_instead_of_waiting_for_nothing() -> None:
    go = threading.Event()
    with Responder("a", "core", lambda _: go.wait(LONG_S)) as responder:
        calls = [Call(Message("a", "core"), LONG_S) for _ in range(WAITING + 2)]
        for call in calls:
            responder.take(call)
        with pytest.raises(RespondFailedError, match="too many"):
            calls[-1].result()
        go.set()
        assert calls[0].result().payload is True


def test_every_request_has_exactly_one_reply_and_its_own(bus: Bus) -> None:
    bus.respond("double", lambda m: int(str(m.payload)) * 2, threads=3)
    with ThreadPoolExecutor(8) as pool:
        replies = pool.map(
            lambda n: bus.request("double", n, deadline_s=LONG_S).payload, range(500)
        )
        assert list(replies) == [number * 2 for number in range(500)]


def test_the_first_outcome_stands() -> None:
    call = Call(Message("a", "core"), LONG_S)
    assert call.settle(Message("a.reply", "core", 1))
    assert not call.settle(Message("a.reply", "core", 2))
    assert call.result().payload == 1


@pytest.mark.parametrize("deadline_s", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_deadline_is_some_time_from_now(bus: Bus, deadline_s: float) -> None:
    with pytest.raises(InvalidParameterError):
        bus.request("a", deadline_s=deadline_s)


def test_a_responder_has_a_thread_and_a_function(bus: Bus) -> None:
    async def answer(_: Message) -> int:
        return 1

    with pytest.raises(InvalidParameterError):
        bus.respond("a", print, threads=0)
    for handler in (answer, 5, None):
        with pytest.raises(InvalidParameterError, match="function"):
            bus.respond("a", handler)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(NoResponderError):
        bus.request("a")
