"""One worker of several: calls that belong together meet there, and streams begin but once."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import PluginCallError, PluginCrashedError, PluginTimeoutError
from openautoglm.native.arena import Arena, lend
from openautoglm.native.mappings import Mappings
from openautoglm.plugins.host import Supervision
from openautoglm.plugins.host.calls import Calls
from openautoglm.plugins.host.channel import Channel
from openautoglm.plugins.host.exchange import Codec, Exchange
from openautoglm.plugins.host.frames import PACKET, Answer, Reply
from openautoglm.plugins.host.frames import Request as Asked
from openautoglm.plugins.host.pool import Pool
from openautoglm.plugins.host.remote import CrewObject
from openautoglm.plugins.points import MethodSpec
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host import PluginHost, RunningPlugin

    Start = Callable[..., Any]

TOUGH = Supervision(heartbeat_s=0.1, backoff_s=0.0, longest_backoff_s=0.0, intensity=10_000)


def pids(running: RunningPlugin) -> set[int]:
    return {worker.pid for worker in running.health.workers if worker.state == "ready"}


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it is dead, and its death not known yet
        os.kill(pid, signal.SIGKILL)


def test_pinned_calls_go_to_one_worker_and_pins_are_spread(host: PluginHost, start: Start) -> None:
    probe = start(host, workers=2).remote("acme.probe")
    pins = [probe.pinned() for _ in range(4)]
    found = [[pin.call("pid") for _ in range(10)] for pin in pins]
    assert [len(set(pid)) for pid in found] == [1] * 4
    assert sorted(found.count(pid) for pid in found) == [2] * 4
    for pin in pins:
        pin.close()
        pin.close()


def test_calls_streams_and_submitted_calls_of_a_pin_meet(host: PluginHost, start: Start) -> None:
    probe = start(host, workers=3).remote("acme.probe")
    pins = [probe.pinned() for _ in range(3)]
    for number, pin in enumerate(pins):
        pin.call("echo", number)
        values: Any = pin.stream("endless")
        assert next(values) == 0
        values.close()
        assert pin.call("what_was_told") == "closed"
        assert pin.submit("pid").result() == pin.call("pid")
    assert len({pin.call("pid") for pin in pins}) == 3


@pytest.mark.parametrize("method", ["echo", "count", "submit"])
def test_what_was_pinned_to_a_dead_worker_ends_in_an_error(
    host: PluginHost, start: Start, method: str
) -> None:
    running = start(host, workers=2, idempotent=True)
    pin = running.remote("acme.probe").pinned()
    kill(pin.call("pid"))
    verbs: dict[str, Callable[[], object]] = {
        "echo": lambda: pin.call("echo", 1),
        "count": lambda: list(pin.stream("count", 3)),
        "submit": lambda: pin.submit("echo", 1).result(),
    }
    with pytest.raises(PluginCrashedError):
        verbs[method]()
    with pytest.raises(PluginCrashedError, match=r"what it kept for them is lost"):
        pin.call("echo", 1)
    assert running.remote("acme.probe").pinned().call("echo", 1) == 1


@pytest.mark.parametrize("how", ["raised", "late"])
def test_what_a_first_call_began_is_not_taken_to_be_in_another_worker(
    host: PluginHost, start: Start, how: str
) -> None:
    running = start(host, workers=2, idempotent=True)
    pin = running.remote("acme.probe").pinned()
    before = pids(running)
    if how == "raised":
        with pytest.raises(PluginCallError):
            pin.call("fail", "half way")
        kill(pin._place.worker.pid)
    else:
        with pytest.raises(PluginTimeoutError):
            pin.call("wait", 60.0, timeout_s=0.1)
    until(lambda: pids(running) != before and len(pids(running)) == 2)
    with pytest.raises(PluginCrashedError, match="these calls belong to is gone"):
        pin.call("pid")


def test_a_pin_that_no_call_has_reached_takes_another_worker(
    host: PluginHost, start: Start
) -> None:
    running = start(host, workers=2, idempotent=True, supervision=TOUGH)
    for _ in range(20):
        pin = running.remote("acme.probe").pinned()
        for pid in pids(running):
            kill(pid)
        assert pin.call("echo", 1) == 1


def test_a_cancelled_call_is_the_only_one_that_is_cancelled(host: PluginHost, start: Start) -> None:
    patient = Supervision(grace_s=20.0)
    probe = start(host, channels=2, workers=1, supervision=patient).remote("acme.probe")
    first, second = (probe.submit("spin_until_cancelled", timeout_s=30) for _ in range(2))
    first.cancel()
    assert probe.call("echo", 1) == 1  # the first one's channel is free: it has answered
    assert not second._channel._poll.poll(200)
    second.cancel()


class Serves:
    """A worker that answers some requests of a stream, then leaves without a word."""

    said, state, number = "a worker", "ready", 0

    def __init__(self) -> None:
        host, here = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = Channel(host, Exchange(Arena(lend), Mappings(writable=False)), self)
        self._codec = Codec(Exchange(Arena(lend), Mappings(writable=False)), Asked)
        self._here = here
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for value in (1, ["one", "two"]):  # OPEN, PULL
            data = self._here.recv(PACKET)
            if not data:
                return
            number = self._codec.decode(data).number
            self._here.send(self._codec.encode(Reply(Answer.VALUE, number, value, [])))
        self._here.close()

    def end(self) -> None:
        self.channel.hang_up()
        self._thread.join()
        self._here.close()
        self.channel.close()

    def kill(self, reason: str) -> None: ...

    def kill_soon(self, reason: str) -> None: ...

    def cancel(self, number: int) -> None: ...

    def shut(self, number: int) -> None: ...

    def await_obituary(self) -> str:
        return "it left"


class Careless:
    """Looks after nothing."""

    serving: tuple[Any, ...] = ()

    def soon(self, then: Callable[[], None]) -> None: ...

    def later(self, delay_s: float, then: Callable[[], None]) -> None: ...

    def watch_overdue(self, channel: Channel) -> None: ...

    def see_to(self, channel: Channel, cause: object) -> None: ...


@pytest.mark.parametrize("idempotent", [False, True])
def test_a_stream_whose_values_were_given_out_never_begins_again(*, idempotent: bool) -> None:
    pool = Pool("the plugin")
    calls = Calls(Careless(), pool, "the plugin", Supervision(), 5.0)
    workers = [Serves(), Serves()]
    for worker in workers:
        pool.add(worker.channel)
    try:
        values = CrewObject(
            calls, "bare:x", {"read": MethodSpec(stream=True)}, idempotent=idempotent
        ).stream("read")
        assert [next(values), next(values)] == ["one", "two"]
        until(lambda: workers[1].channel._poll.poll(0) != [])  # the last in is the first out
        with pytest.raises(PluginCrashedError, match="some values had come"):
            next(values)
        with pytest.raises(StopIteration):
            next(values)
    finally:
        for worker in workers:
            worker.end()
