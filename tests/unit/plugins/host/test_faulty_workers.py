"""Workers that answer with noise, use up what they have, or print without end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from openautoglm.errors import (
    PluginCallError,
    PluginCrashedError,
    PluginProtocolError,
    PluginTimeoutError,
)
from openautoglm.plugins.host import Supervision
from openautoglm.plugins.host.frames import PACKET, Sign, control
from openautoglm.plugins.host.logs import LINES_A_SECOND, LONGEST_LINE, Printed
from openautoglm.plugins.manifest import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host import PluginHost

    Start = Callable[..., Any]


def until(is_true: Callable[[], bool], timeout_s: float = 8.0) -> None:
    """Wait for what another thread does; the state of a process has no event of ours."""
    end = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end, "it did not come true in time"
        threading.Event().wait(0.002)


def mappings() -> int:
    """How many pieces of memory this process has."""
    return len(Path("/proc/self/maps").read_text().splitlines())


# what a worker may write that is no answer


@pytest.mark.parametrize(
    "noise",
    [
        b"noise",
        b"\x94\x00\x01\xc0\x90"[:3],
        msgspec.msgpack.encode([0, "not a number", None, []]),
        msgspec.msgpack.encode([77, 1, None, []]),
        b"\xff" * (PACKET + 100),
    ],
    ids=["text", "cut short", "wrong type", "unknown kind", "too long"],
)
def test_a_malformed_answer_is_an_error_of_that_call_and_ends_its_worker(
    host: PluginHost, start: Start, noise: bytes
) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    before = probe.call("pid")
    with pytest.raises(PluginProtocolError, match="answered with what is no answer"):
        probe.call("write_raw", noise)
    assert probe.call("pid") != before


def test_an_answer_to_a_call_nobody_made_is_passed_over(host: PluginHost, start: Start) -> None:
    probe = start(host).remote("acme.probe")
    for number in (999, 2**62, 12):
        forged = msgspec.msgpack.encode([0, number, "forged", []])
        assert probe.call("write_raw", forged) == "written"


@pytest.mark.parametrize(
    "frame",
    [
        b"noise",
        control(Sign.READY, 1, {}),
        control(Sign.CANCEL, 1),
        control(Sign.FAILED, 1, "x"),
        msgspec.msgpack.encode([55, 0, None]),
    ],
    ids=["text", "ready again", "a word of the host", "failed too late", "unknown"],
)
def test_malformed_control_ends_the_worker_alone(
    host: PluginHost, start: Start, frame: bytes
) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    with contextlib.suppress(PluginCrashedError):  # killed before or after its answer
        probe.call("write_control", frame)
    until(lambda: running.health.crashes == 1 and running.state == "running")
    assert probe.call("echo", 1) == 1


def test_a_worker_that_floods_its_line_of_control_is_ended(host: PluginHost, start: Start) -> None:
    calm = Supervision(heartbeat_s=1.0, stop_s=2.0)
    probe = start(host, supervision=calm).remote("acme.probe")
    with pytest.raises(PluginCrashedError, match="more than 2000 frames of control"):
        probe.call("flood_control", control(Sign.PONG))
    assert probe.call("echo", 1) == 1


@pytest.mark.parametrize("size", [0, -5, 1, 16, 40_000, 1 << 62, 1 << 40])
def test_a_worker_gets_no_more_memory_than_its_plugin_may_have(
    host: PluginHost, start: Start, size: int
) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    before = mappings()
    for _ in range(100):
        assert probe.call("write_control", control(Sign.GROW, size)) == "written"
    assert probe.call("echo", 1) == 1
    assert mappings() - before < 50
    assert running.health.crashes == 0
    assert running.health.shared_bytes == 0


def test_memory_runs_out_in_the_worker_and_not_in_the_host(host: PluginHost, start: Start) -> None:
    probe = start(host).remote("acme.probe")
    with pytest.raises(PluginCallError) as caught:
        probe.call("exhaust_memory")
    assert "MemoryError" in str(caught.value)
    assert probe.call("echo", 1) == 1


def test_descriptors_run_out_in_the_worker_and_not_in_the_host(
    host: PluginHost, start: Start
) -> None:
    probe = start(host).remote("acme.probe")
    with pytest.raises(PluginCallError, match="Too many open files"):
        probe.call("exhaust_files")
    assert probe.call("echo", 1) == 1


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_a_full_scratch_folder_ends_its_workers(host: PluginHost, start: Start, level: str) -> None:
    running = start(host, level=level, limits=Limits(scratch_mb=4, call_timeout_s=10.0))
    probe = running.remote("acme.probe")
    with contextlib.suppress(PluginCrashedError):  # measured while it writes
        probe.call("fill_scratch", 4, 2)
    until(lambda: running.health.crashes == 1 and running.state == "running")
    assert probe.call("echo", 1) == 1


# what it prints


def test_what_a_plugin_prints_is_in_the_hosts_log(
    host: PluginHost, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    running = start(host)
    running.remote("acme.probe").call("say", "hello from over there")
    running.remote("acme.probe").call("complain", "ERROR it hurts")
    host.stop(running)
    told = {(record.name, record.levelname, record.message) for record in caplog.records}
    assert ("openautoglm.plugins.acme.probe", "INFO", "hello from over there") in told
    assert ("openautoglm.plugins.acme.probe", "ERROR", "ERROR it hurts") in told


def test_a_plugin_that_prints_without_end_does_not_flood_the_host(
    host: PluginHost, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    running = start(host)
    running.remote("acme.probe").call("say", "again", times=20_000)
    until(lambda: running.health.dropped_lines > 10_000)
    host.stop(running)
    assert len([r for r in caplog.records if r.message == "again"]) < 20 * LINES_A_SECOND
    assert "more lines in that second were dropped" in caplog.text


def test_lines_are_put_together_cut_and_made_harmless() -> None:
    told: list[tuple[int, str]] = []
    printed = Printed(lambda level, line: told.append((level, line)), level=logging.INFO)
    printed.feed("WARNING hö".encode()[:-1], 1.0)
    printed.feed("ö\n\n\x1b[2Jclear\nDEBUG: x".encode()[1:], 1.0)
    printed.feed(b"", 1.0)
    assert told[0][0] == logging.WARNING
    assert told[1] == (logging.INFO, "\\x1b[2Jclear")
    assert told[2][1] == "DEBUG: x"
    printed.feed(b"y" * 3 * LONGEST_LINE, 2.0)
    assert len(told[3][1]) == LONGEST_LINE


def test_a_timeout_is_an_error_and_never_a_wrong_answer(host: PluginHost, start: Start) -> None:
    probe = start(host, idempotent=True).remote("acme.probe")
    outcomes = set()
    for value in range(30):
        try:
            assert probe.call("echo", value, timeout_s=0.0002) == value
            outcomes.add("answer")
        except PluginTimeoutError:
            outcomes.add("timeout")
    assert outcomes <= {"answer", "timeout"}
    assert probe.call("echo", "last") == "last"
