"""Calls into workers: what goes, what comes back, what goes wrong, and that nothing is left."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from openautoglm.errors import (
    NoKernelError,
    PluginCallError,
    PluginCrashedError,
    PluginProtocolError,
    PluginTimeoutError,
    PluginUnavailableError,
    SharedTensorError,
    UnknownNameError,
)
from openautoglm.plugins.host import PluginHost, Supervision

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.points import RemoteObject

    Start = Callable[..., Any]

LEVELS = pytest.mark.parametrize("level", ["L1", "L2"])


def until(is_true: Callable[[], bool], timeout_s: float = 8.0) -> None:
    """Wait for what another thread does; the state of a process has no event of ours."""
    end = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end, "it did not come true in time"
        threading.Event().wait(0.002)


def probe_of(host: PluginHost, start: Start, **options: Any) -> RemoteObject:  # noqa: ANN401 - of `start`
    remote: RemoteObject = start(host, **options).remote("acme.probe")
    return remote


@LEVELS
def test_a_call_goes_to_another_process_and_back(
    host: PluginHost, start: Start, level: str
) -> None:
    probe = probe_of(host, start, level=level)
    assert probe.call("echo", {"text": "héllo", "rows": [1, 2.5, None, b"x"]}) == {
        "text": "héllo",
        "rows": [1, 2.5, None, b"x"],
    }
    assert probe.call("echo", a=1, b=[2]) == {"a": 1, "b": [2]}
    assert probe.call("pid") not in {0, os.getpid()}


@LEVELS
def test_arrays_go_and_come_by_reference(host: PluginHost, start: Start, level: str) -> None:
    running = start(host, level=level)
    probe = running.remote("acme.probe")
    x = running.empty(1 << 20)
    x[:] = 2
    assert probe.call("total", x) == 2 << 20
    back = probe.call("echo", x)
    x[5] = 7
    assert back[5] == 7
    made: Any = probe.call("ones", 1 << 20)
    assert made.sum() == 1 << 20
    both: Any = probe.call("add", x, made)
    assert both[5] == 8
    assert running.health.shared_bytes < 8 << 20


def test_an_array_of_elsewhere_is_copied_in(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    assert probe.call("total", np.ones(100_000, "f4")[::2]) == 50_000


def test_a_thousand_large_answers_need_no_more_memory_than_a_few(
    host: PluginHost, start: Start
) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    for _ in range(300):
        value: Any = probe.call("ones", 100_000)
        assert value[0] == 1
        probe.call("total", np.zeros(100_000, "f4"))
    assert running.health.shared_bytes <= 4 << 20


def test_an_array_that_the_plugin_keeps_is_not_given_to_another(
    host: PluginHost, start: Start
) -> None:
    probe = probe_of(host, start)
    probe.call("keep", np.full(100_000, 3, "f8"))
    for value in range(20):
        probe.call("total", np.full(100_000, value, "f8"))
    assert probe.call("kept_total") == 300_000
    probe.call("forget")


def test_an_answer_outlives_its_worker(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    value: Any = probe.call("ones", 100_000)
    with pytest.raises(PluginCrashedError):
        probe.call("kill")
    probe.call("ones", 100_000)
    assert value.sum() == 100_000


@LEVELS
def test_tensors_of_torch_stay_what_they_are(host: PluginHost, start: Start, level: str) -> None:
    torch = pytest.importorskip("torch")
    patient = Supervision(start_s=60.0)
    running = start(host, level=level, peers={"torch": ">=2"}, supervision=patient)
    probe = running.remote("acme.probe")
    for size in (3, 100_000):
        back: Any = probe.call("echo", torch.ones(size, dtype=torch.bfloat16))
        assert torch.equal(back, torch.ones(size, dtype=torch.bfloat16))
    assert probe.call("kind", torch.ones(3)) == "torch.Tensor"
    assert probe.call("total", torch.ones(100_000)) == 100_000


def test_errors_say_what_and_where(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    with pytest.raises(PluginCallError, match="KeyError: 'x'") as caught:
        probe.call("fail", "x")
    assert "`fail` of bare:acme.probe (acme.probe 1.0) raised" in str(caught.value)
    assert "in fail" in str(caught.value)
    with pytest.raises(NoKernelError, match="no kernel here"):
        probe.call("refuse")
    with pytest.raises(PluginCallError, match="SystemExit: 3"):
        probe.call("leave")
    with pytest.raises(PluginCallError, match="has no method `absent`"):
        probe.call("absent")
    with pytest.raises(PluginCallError, match="has no method `__init__`"):
        probe.call("__init__")
    with pytest.raises(PluginProtocolError, match="cannot cross"):
        probe.call("unpassable")
    with pytest.raises(PluginProtocolError, match="cannot cross"):
        probe.call("echo", object())
    assert probe.call("echo", 1) == 1


def test_no_room_is_an_error_of_that_call_alone(host: PluginHost, start: Start) -> None:
    running = start(host)
    with pytest.raises(SharedTensorError, match="no room"):
        running.empty(1 << 40)
    assert running.remote("acme.probe").call("echo", 1) == 1


def test_a_name_that_is_not_provided_is_refused(host: PluginHost, start: Start) -> None:
    with pytest.raises(UnknownNameError, match="no `other`"):
        start(host).remote("other")


def test_many_threads_call_at_once_and_each_gets_its_own_answer(
    host: PluginHost, start: Start
) -> None:
    probe = probe_of(host, start, workers=2, channels=3)
    wrong: list[object] = []

    def call(base: int) -> None:
        for value in range(base, base + 200):
            got = probe.call("echo", value)
            if got != value:
                wrong.append((value, got))

    threads = [threading.Thread(target=call, args=(1000 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_channels_of_one_worker_serve_at_the_same_time(
    host: PluginHost, start: Start, tmp_path: Path
) -> None:
    probe = probe_of(host, start, channels=2)
    met: list[object] = []
    meeting = str(tmp_path / "meeting")
    threads = [
        threading.Thread(target=lambda: met.append(probe.call("meet", meeting))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == ["met", "met"]


# time


def test_a_call_that_takes_too_long_ends_and_its_worker_with_it(
    host: PluginHost, start: Start
) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    before = probe.call("pid")
    with pytest.raises(PluginTimeoutError, match=r"gave no answer in 0\.1 s"):
        probe.call("spin", timeout_s=0.1)
    assert probe.call("pid") != before
    assert running.health.timeouts == 1


def test_a_call_that_notices_its_cancellation_keeps_its_worker(
    host: PluginHost, start: Start
) -> None:
    probe = probe_of(host, start)
    before = probe.call("pid")
    with pytest.raises(PluginTimeoutError):
        probe.call("spin_until_cancelled", timeout_s=0.1)
    assert probe.call("pid") == before


def test_a_late_answer_is_not_the_answer_of_the_next_call(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    for value in range(5):
        with pytest.raises(PluginTimeoutError):
            probe.call("wait", 0.02, timeout_s=0.001)
        assert probe.call("echo", value) == value


def test_a_call_waits_for_a_free_worker_no_longer_than_its_time(
    host: PluginHost, start: Start
) -> None:
    probe = probe_of(host, start)
    thread = threading.Thread(target=lambda: probe.call("wait", 0.3))
    thread.start()
    until(lambda: host.plugins[0].health.in_flight == 1)
    with pytest.raises(PluginTimeoutError, match=r"no worker of acme\.probe 1\.0 was free"):
        probe.call("echo", 1, timeout_s=0.01)
    thread.join()
    assert probe.call("echo", 1) == 1


# state


def test_state_goes_from_one_version_to_the_next(host: PluginHost, start: Start) -> None:
    old = probe_of(host, start)
    old.call("import_state", "seven", "0.9")
    state = old.call("export_state")
    new = start(host, version="2.0", register=False).remote("acme.probe")
    new.call("import_state", state, "1.0")
    assert new.call("export_state") == "seven of 0.9 of 1.0"


# what a worker has


@LEVELS
def test_a_worker_has_no_secrets_of_the_host(
    host: PluginHost, start: Start, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    probe = probe_of(host, start, level=level)
    environment: Any = probe.call("environment")
    assert "hunter2" not in environment.values()
    assert environment["TMPDIR"] == environment["HOME"]


@LEVELS
def test_a_worker_has_its_own_descriptors_and_no_other(
    host: PluginHost, start: Start, level: str, tmp_path: Path
) -> None:
    with (tmp_path / "open in the host").open("w"):
        probe = probe_of(host, start, level=level)
        found: Any = probe.call("descriptors")
    assert found == ["device", "pipe", "pipe", "socket", "socket"]


def test_a_stopped_plugin_says_so(host: PluginHost, start: Start) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    host.stop(running)
    assert running.state == "stopped"
    with pytest.raises(PluginUnavailableError, match="is stopping"):
        probe.call("echo", 1)
    host.stop(running)


def test_calls_under_way_end_before_their_plugin_does(host: PluginHost, start: Start) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(probe.call("wait", 0.3)))
    thread.start()
    until(lambda: running.health.in_flight == 1)
    host.stop(running)
    thread.join()
    assert got == ["waited"]
    assert running.health.crashes == 0


def test_a_call_that_does_not_end_does_not_keep_its_plugin(host: PluginHost, start: Start) -> None:
    quick = Supervision(stop_s=0.2)
    running = start(host, supervision=quick)
    told: list[str] = []

    def call() -> None:
        try:
            running.remote("acme.probe").call("spin")
        except PluginCrashedError as error:
            told.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: running.health.in_flight == 1)
    host.stop(running)
    thread.join()
    assert len(told) == 1
    assert "whether it was carried out is not known" in told[0]


def test_nothing_is_left_of_a_host(start: Start, tmp_path: Path) -> None:
    gc.collect()
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    with PluginHost(home=tmp_path) as host:
        running = start(host, workers=2)
        pids = [worker.pid for worker in running.health.workers]
        running.remote("acme.probe").call("ones", 100_000)
        assert len(pids) == 2
    assert threading.active_count() == threads
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    del running, host  # its shared memory lives as long as arrays in it may
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_outlives_its_host_does_no_harm(start: Start, tmp_path: Path) -> None:
    with PluginHost(home=tmp_path) as host:
        probe = start(host).remote("acme.probe")
        values: Any = probe.stream("endless")
        assert next(values) == 0
        array: Any = probe.call("ones", 100_000)
    with pytest.raises(PluginUnavailableError):
        probe.call("echo", 1)
    del values
    gc.collect()
    assert array.sum() == 100_000


def test_a_closed_host_starts_nothing(start: Start) -> None:
    with PluginHost() as host:
        pass
    with pytest.raises(PluginUnavailableError, match="host is closed"):
        start(host)
