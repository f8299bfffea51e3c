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

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import (
    PluginCallError,
    PluginCrashedError,
    PluginUnavailableError,
)
from openautoglm.plugins.host import PluginHost, Supervision
from openautoglm.plugins.host.restarts import Restarts
from openautoglm.plugins.host.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Any]


def until(is_true: Callable[[], bool], timeout_s: float = 8.0) -> None:
    """Wait for what another thread does; the state of a process has no event of ours."""
    end = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end, "it did not come true in time"
        threading.Event().wait(0.002)


WORKER_STATES = {"running", "restarting", "quarantined", "failed", "stopping", "stopped"}


class Heard:
    """A bus that remembers what became of workers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def emit(self, type_: str, event: object = None, /) -> None:
        assert type_ == "plugin.state"
        assert isinstance(event, dict)
        if event["new"] in WORKER_STATES:
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


def test_the_process_that_workers_come_from_may_hang_too(start: Start, tmp_path: Path) -> None:
    limits = Supervision(start_s=5.0, hung_after_s=2.0, heartbeat_s=0.05, intensity=9, backoff_s=0)
    with PluginHost(home=tmp_path) as host:
        start(host)  # warms it
        running = start(host, id="acme.second", register=False, supervision=limits)
        worker: Any = running.remote("acme.probe").call("pid")
        parent = int(Path(f"/proc/{worker}/stat").read_text("ascii").rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        until(lambda: not _lives(parent))
        until(lambda: running.state == "running")
        assert running.remote("acme.probe").call("pid") != worker


# starting


def test_a_plugin_that_raises_at_import_is_refused_with_its_error(
    host: PluginHost, start: Start
) -> None:
    with pytest.raises(PluginUnavailableError, match="did not start") as caught:
        start(host, name="Broken")
    assert "broken on purpose" in str(caught.value)
    assert isinstance(caught.value.__cause__, PluginCallError)
    assert host.plugins == ()


def test_an_error_says_where_the_log_is(host: PluginHost, start: Start, tmp_path: Path) -> None:
    file = tmp_path / "plugins.log"
    handler = logging.FileHandler(file)
    logging.getLogger("openautoglm").addHandler(handler)
    try:
        with pytest.raises(PluginUnavailableError, match="did not start") as caught:
            start(host, name="Broken")
    finally:
        logging.getLogger("openautoglm").removeHandler(handler)
        handler.close()
    assert "the logger `openautoglm.plugins.acme.probe`" in str(caught.value.fix)
    assert str(file) in str(caught.value.fix)
    assert "broken on purpose" in file.read_text()


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
