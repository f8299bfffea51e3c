"""Workers that die, hang or do not start: who notices, what is told, when one comes back."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import (
    PluginCallError,
    PluginCrashedError,
    PluginProtocolError,
    PluginTimeoutError,
    PluginUnavailableError,
)
from openautoglm.plugins.host import PluginHost, Supervision
from openautoglm.plugins.host.frames import PACKET, Sign, control
from openautoglm.plugins.host.logs import LINES_A_SECOND, LONGEST_LINE, Printed
from openautoglm.plugins.host.restarts import Restarts
from openautoglm.plugins.host.watcher import Watcher
from openautoglm.plugins.manifest import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Any]


def until(is_true: Callable[[], bool], timeout_s: float = 8.0) -> None:
    """Wait for what another thread does; the state of a process has no event of ours."""
    end = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end, "it did not come true in time"
        threading.Event().wait(0.002)


class Heard:
    """A bus that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def emit(self, type_: str, event: object = None, /) -> None:
        assert type_ == "plugin.state"
        assert isinstance(event, dict)
        self.events.append((event["old"], event["new"], event["reason"]))

    @property
    def states(self) -> list[str]:
        return [new for _, new, _ in self.events]


# the arithmetic of restarts


def test_the_first_restart_is_at_once_and_each_further_one_waits_twice_as_long() -> None:
    restarts = Restarts(Supervision(backoff_s=1.0, longest_backoff_s=3.0), jitter=lambda: 1.0)
    assert [restarts.delay_s(float(n)) for n in range(5)] == [0.0, 1.0, 2.0, 3.0, 3.0]
    assert restarts.delay_s(5.0) is None
    assert restarts.total == 5


def test_what_happened_before_the_period_does_not_count() -> None:
    restarts = Restarts(Supervision(intensity=2, period_s=10.0))
    assert restarts.delay_s(0.0) == 0.0
    assert restarts.delay_s(9.0) is not None
    assert restarts.delay_s(9.5) is None
    assert restarts.delay_s(10.5) is not None


@given(st.lists(st.floats(0, 30), min_size=1, max_size=80), st.floats(0, 1))
def test_no_period_ever_has_more_restarts_than_the_intensity(
    gaps: list[float], jitter: float
) -> None:
    limits = Supervision(intensity=3, period_s=20.0, backoff_s=0.5, longest_backoff_s=4.0)
    restarts, now, allowed = Restarts(limits, jitter=lambda: jitter), 0.0, list[float]()
    for gap in gaps:
        now += gap
        delay_s = restarts.delay_s(now)
        if delay_s is not None:
            assert 0 <= delay_s <= limits.longest_backoff_s
            allowed.append(now)
    for start in allowed:
        assert len([at for at in allowed if start <= at < start + 20.0]) <= 3


# the watcher


def test_the_watcher_goes_on_after_a_mistake(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    with Watcher() as watcher:
        watcher.soon(lambda: 1 / 0)  # type: ignore[arg-type] # raises
        watcher.soon(done.set)
        assert done.wait(5)
    assert "ZeroDivisionError" in caplog.text


def test_the_watcher_keeps_the_order_of_times() -> None:
    seen, done = list[str](), threading.Event()
    with Watcher() as watcher:

        def begin() -> None:
            watcher.later(0.03, done.set)
            watcher.later(0.02, lambda: seen.append("second"))
            watcher.later(0.01, lambda: seen.append("first"))
            watcher.later(0.015, lambda: seen.append("never")).cancel()

        watcher.soon(begin)
        assert done.wait(5)
    assert seen == ["first", "second"]


# deaths


def test_a_call_that_kills_its_worker_says_what_is_known(host: PluginHost, start: Start) -> None:
    probe = start(host).remote("acme.probe")
    before = probe.call("pid")
    with pytest.raises(PluginCrashedError) as caught:
        probe.call("kill")
    assert "`kill` of bare:acme.probe took its worker of acme.probe 1.0 down" in str(caught.value)
    assert "Killed" in str(caught.value)
    assert "whether it was carried out is not known" in str(caught.value)
    assert probe.call("pid") != before


def test_a_crash_in_machine_code_is_named(host: PluginHost, start: Start) -> None:
    probe = start(host).remote("acme.probe")
    with pytest.raises(PluginCrashedError, match="Segmentation fault"):
        probe.call("crash")
    assert probe.call("echo", 1) == 1


def test_an_idempotent_call_is_made_again_by_another_worker(host: PluginHost, start: Start) -> None:
    running = start(host, idempotent=True)
    probe = running.remote("acme.probe")
    thread_got: list[object] = []
    thread = threading.Thread(target=lambda: thread_got.append(probe.call("wait", 0.2)))
    thread.start()
    until(lambda: running.health.in_flight == 1)
    os.kill(running.health.workers[0].pid, signal.SIGKILL)
    thread.join()
    assert thread_got == ["waited"]
    assert running.health.retries >= 1


def test_a_call_that_kills_every_worker_is_not_made_for_ever(
    host: PluginHost, start: Start
) -> None:
    running = start(host, idempotent=True)
    with pytest.raises(PluginCrashedError, match="took 4 workers in a row"):
        running.remote("acme.probe").call("kill")
    assert running.health.crashes == 4
    assert running.remote("acme.probe").call("echo", 1) == 1


def test_a_death_between_calls_goes_unnoticed_by_the_next(host: PluginHost, start: Start) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    for _ in range(3):
        os.kill(running.health.workers[0].pid, signal.SIGKILL)
        with contextlib.suppress(PluginCrashedError):  # it was sent before the death was seen
            assert probe.call("echo", 1) == 1
        until(lambda: running.state == "running")


def test_a_stopped_process_is_taken_for_hung(host: PluginHost, start: Start) -> None:
    running = start(host)
    os.kill(running.health.workers[0].pid, signal.SIGSTOP)
    until(lambda: running.health.crashes == 1)
    assert "it hung: no heartbeat" in running.health.reason or running.state == "running"
    assert running.remote("acme.probe").call("echo", 1) == 1


def test_what_a_dead_worker_started_dies_with_it(host: PluginHost, start: Start) -> None:
    probe = start(host).remote("acme.probe")
    child = probe.call("child")
    assert Path(f"/proc/{child}").exists()
    with pytest.raises(PluginCrashedError):
        probe.call("kill")
    until(lambda: not Path(f"/proc/{child}").exists() or _is_zombie(child))


def test_a_child_that_keeps_the_channel_open_does_not_hide_its_parents_death(
    host: PluginHost, start: Start
) -> None:
    probe = start(host).remote("acme.probe")
    with pytest.raises(PluginCrashedError):
        probe.call("fork_and_die", timeout_s=8.0)
    assert probe.call("echo", 1) == 1


def test_workers_do_not_outlive_their_host(tmp_path: Path, probe_path: Path) -> None:
    """A host that is killed leaves no orphan, whoever else holds its sockets."""
    import subprocess
    import sys

    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import conftest
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
with owned_by("t"):
    POINTS.add("bare", conftest.BARE)
host = PluginHost(home=conftest.Path({str(tmp_path)!r}))
running = host.start(conftest.manifest_of(), path=[conftest.Path({str(probe_path)!r})], workers=2)
print(*[worker.pid for worker in running.health.workers], flush=True)
time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pids = [int(word) for word in child.stdout.readline().split()]
    assert len(pids) == 2
    child.kill()
    child.wait()
    child.stdout.close()
    until(lambda: not [pid for pid in pids if _lives(pid)])


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and not _is_zombie(pid)


def _is_zombie(pid: object) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_process_that_workers_come_from_may_die_too(host: PluginHost, start: Start) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    worker: Any = probe.call("pid")
    parent = int(Path(f"/proc/{worker}/stat").read_text("ascii").rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    until(lambda: running.health.crashes == 1)
    assert probe.call("pid") != worker


# starting


def test_a_plugin_that_raises_at_import_is_refused_with_its_error(
    host: PluginHost, start: Start
) -> None:
    with pytest.raises(PluginUnavailableError, match="did not start") as caught:
        start(host, name="Broken")
    assert "broken on purpose" in str(caught.value)
    assert isinstance(caught.value.__cause__, PluginCallError)
    assert host.plugins == ()


def test_a_plugin_that_lacks_its_object_is_refused(host: PluginHost, start: Start) -> None:
    with pytest.raises(PluginUnavailableError, match="has no attribute 'Absent'"):
        start(host, name="Absent")


def test_a_plugin_that_dies_at_import_is_refused(host: PluginHost, start: Start) -> None:
    with pytest.raises(PluginUnavailableError, match="Killed"):
        start(host, name="Deadly")


def test_a_plugin_that_hangs_at_import_is_refused(start: Start, host: PluginHost) -> None:
    quick = Supervision(start_s=0.5, heartbeat_s=0.05, stop_s=1.0)
    with pytest.raises(PluginUnavailableError, match=r"did not start in 0\.5 s"):
        start(host, name="Slow", supervision=quick)


# crash loops


def test_a_crash_loop_ends_in_quarantine_with_its_reason(start: Start, tmp_path: Path) -> None:
    heard = Heard()
    limits = Supervision(intensity=3, backoff_s=0.001, heartbeat_s=0.05)
    with PluginHost(home=tmp_path, bus=heard, supervision=limits) as host:
        running = start(host)
        probe = running.remote("acme.probe")
        for _ in range(4):
            with pytest.raises(PluginCrashedError):
                probe.call("crash")
        with pytest.raises(PluginUnavailableError, match="is quarantined") as caught:
            probe.call("echo", 1)
        assert "more than 3 restarts in 60 s" in str(caught.value)
        assert "Segmentation fault" in str(caught.value)
        assert running.health.state == "quarantined"
        assert running.health.workers == ()
    assert heard.states == [
        *("running", *("restarting", "running") * 3, "quarantined"),
        *("stopping", "stopped"),
    ]


def test_a_worker_that_cannot_come_back_ends_in_quarantine(start: Start, tmp_path: Path) -> None:
    limits = Supervision(intensity=3, backoff_s=0.001, heartbeat_s=0.05)
    with PluginHost(home=tmp_path, supervision=limits) as host:
        running = start(host, name="DiesLater", idempotent=True)
        with pytest.raises((PluginUnavailableError, PluginCrashedError)):
            running.remote("acme.probe").call("kill")
        until(lambda: running.state == "quarantined")


def test_every_change_of_state_is_told_on_the_bus(start: Start, tmp_path: Path) -> None:
    heard = Heard()
    with PluginHost(home=tmp_path, bus=heard) as host:
        running = start(host)
        with pytest.raises(PluginCrashedError):
            running.remote("acme.probe").call("kill")
        running.remote("acme.probe").call("echo", 1)
        host.stop(running)
    assert heard.states == ["running", "restarting", "running", "stopping", "stopped"]
    assert heard.events[1][2] == "Killed"


def test_a_bus_that_refuses_keeps_no_worker_from_its_care(start: Start, tmp_path: Path) -> None:
    class Refusing:
        def emit(self, type_: str, event: object = None, /) -> None:
            raise RuntimeError(type_, event)

    with PluginHost(home=tmp_path, bus=Refusing()) as host:
        probe = start(host).remote("acme.probe")
        with pytest.raises(PluginCrashedError):
            probe.call("kill")
        assert probe.call("echo", 1) == 1


def test_other_plugins_do_not_notice(host: PluginHost, start: Start) -> None:
    sound = start(host, id="acme.sound", as_name="sound")
    pid = sound.remote("sound").call("pid")
    bad = start(host, id="acme.bad", as_name="bad").remote("bad")
    for _ in range(3):
        with pytest.raises(PluginCrashedError):
            bad.call("kill")
    assert sound.remote("sound").call("pid") == pid
    assert sound.health.crashes == 0


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


@pytest.mark.parametrize("size", [0, -5, 1 << 62, 1 << 40])
def test_a_worker_gets_no_more_memory_than_its_plugin_may_have(
    host: PluginHost, start: Start, size: int
) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    assert probe.call("write_control", control(Sign.GROW, size)) == "written"
    assert probe.call("echo", 1) == 1
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
