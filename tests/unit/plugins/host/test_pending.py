"""Calls that are begun, waited for later, or given up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import (
    PluginCallError,
    PluginCrashedError,
    PluginProtocolError,
    PluginTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host import PluginHost

    Start = Callable[..., Any]


def test_the_answer_is_there_when_it_is_asked_for(host: PluginHost, start: Start) -> None:
    probe = start(host, workers=2).remote("acme.probe")
    first, second = probe.submit("pid"), probe.submit("pid")
    assert first.result() != second.result()
    assert first.result() == first.result()


def test_errors_come_with_the_result(host: PluginHost, start: Start) -> None:
    probe = start(host).remote("acme.probe")
    with pytest.raises(PluginCallError, match="KeyError"):
        probe.submit("fail", "x").result()
    with pytest.raises(PluginProtocolError, match="cannot cross"):
        probe.submit("echo", object())
    with pytest.raises(PluginCrashedError):
        probe.submit("kill").result()
    with pytest.raises(PluginTimeoutError):
        probe.submit("spin", timeout_s=0.05).result()
    assert probe.call("echo", 1) == 1


def test_an_idempotent_call_is_made_again(host: PluginHost, start: Start) -> None:
    running = start(host, idempotent=True, workers=1)
    pending = running.remote("acme.probe").submit("wait", 0.2)
    running._crew._watcher.soon(lambda: running._crew.workers[0].kill("a test"))
    assert pending.result() == "waited"


def test_a_cancelled_call_that_listens_keeps_its_worker(host: PluginHost, start: Start) -> None:
    probe = start(host).remote("acme.probe")
    pid = probe.call("pid")
    pending = probe.submit("spin_until_cancelled")
    pending.cancel()
    with pytest.raises(PluginTimeoutError, match="was cancelled"):
        pending.result()
    assert probe.call("pid") == pid


def test_a_cancelled_call_that_does_not_listen_ends_with_its_worker(
    host: PluginHost, start: Start
) -> None:
    probe = start(host).remote("acme.probe")
    pid = probe.call("pid")
    probe.submit("spin").cancel()
    assert probe.call("pid") != pid


@pytest.mark.parametrize("method", ["spin", "spin_until_cancelled"])
def test_whoever_waits_for_a_cancelled_call_is_told(
    host: PluginHost, start: Start, method: str
) -> None:
    running = start(host)
    pending = running.remote("acme.probe").submit(method)
    told: list[str] = []

    def wait() -> None:
        try:
            pending.result()
        except PluginTimeoutError as error:
            told.append(error.problem)

    thread = threading.Thread(target=wait)
    thread.start()
    end = time.monotonic() + 5
    while not pending._waiting.locked():
        assert time.monotonic() < end
    pending.cancel()
    thread.join(5)
    assert told == [f"`{method}` of bare:acme.probe was cancelled"]
    assert running.remote("acme.probe").call("echo", 1) == 1


def test_a_call_that_is_let_go_of_frees_its_channel(host: PluginHost, start: Start) -> None:
    running = start(host)
    running.remote("acme.probe").submit("echo", 1)
    assert running.remote("acme.probe").call("echo", 2) == 2
    assert running.health.in_flight == 0
