"""Memory that was shared with workers at a peak goes back to the system when nobody uses it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from openautoglm.plugins.host import PluginHost, Supervision
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from tests.unit.plugins.host.conftest import Start

MIB = 1 << 20
HASTY = Supervision(heartbeat_s=0.05, rest_s=0.2)


def array(value: object) -> npt.NDArray[Any]:
    assert isinstance(value, np.ndarray)
    return value


def shared_mib(pid: int | str = "self") -> float:
    """Shared memory of arenas that a process has touched, in MiB."""
    found = 0
    is_arena = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            is_arena = "/memfd:openautoglm" in line
        if is_arena and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found / 1024


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PluginHost]:
    """A host that gives memory back soon."""
    with PluginHost(home=tmp_path / "home", supervision=HASTY) as made:
        yield made


def test_a_peak_of_arguments_and_answers_does_not_stay(host: PluginHost, start: Start) -> None:
    before = shared_mib()
    running = start(host)
    probe = running.remote("acme.probe")
    given = running.empty(96 * MIB, "|u1")
    given[:] = 1
    answer = array(probe.call("add", given, 1))
    assert int(answer.max()) == 2
    assert shared_mib() - before > 150
    assert shared_mib(running.health.workers[0].pid) > 150

    del given, answer
    until(lambda: running.health.shared_bytes < 8 * MIB)
    until(lambda: shared_mib() - before < 8)
    until(lambda: shared_mib(running.health.workers[0].pid) < 8)
    assert probe.call("total", np.ones(MIB)) == MIB


def test_what_is_in_use_stays_as_it_is(host: PluginHost, start: Start) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    given = running.empty(48 * MIB, "|u1")
    given[:] = 3
    probe.call("keep", given)
    answer = array(probe.call("ones", 8 * MIB))
    other = running.empty(48 * MIB, "|u1")
    other[:] = 5
    del other
    until(lambda: running.health.shared_bytes < 64 * MIB)
    del given
    assert probe.call("kept_total") == 3 * 48 * MIB
    assert float(answer.sum()) == 8 * MIB
    probe.call("forget")
    probe.call("echo", 1)
    until(lambda: running.health.shared_bytes < 8 * MIB)


def test_a_peak_in_between_many_small_calls_does_not_stay(host: PluginHost, start: Start) -> None:
    running = start(host)
    probe = running.remote("acme.probe")
    probe.call("total", running.empty(96 * MIB, "|u1"))
    small = np.ones(64 * 1024, np.float32)

    def is_small() -> bool:
        probe.call("add", small, small)
        return running.health.shared_bytes < 64 * MIB

    until(is_small)


def test_nothing_in_flight_is_harmed_by_memory_that_goes_at_once(
    start: Start, tmp_path: Path
) -> None:
    at_once = Supervision(heartbeat_s=0.002, rest_s=0.0)
    with PluginHost(home=tmp_path, supervision=at_once) as host:
        running = start(host, workers=2, channels=2)
        probe = running.remote("acme.probe")

        def call(seed: int) -> int:
            wrong = 0
            kept = array(probe.call("ones", 50_000))
            for number in range(60):
                size = 2_000 * (1 + (seed * 7 + number * 13) % 500)
                given = running.empty(size, "<f4") if number % 2 else np.empty(size, np.float32)
                given[:] = number
                answer = array(probe.call("add", given, seed))
                wrong += answer.min() != number + seed or answer.max() != number + seed
                wrong += given.min() != number
            return wrong + (float(kept.sum()) != 50_000)

        with ThreadPoolExecutor(4) as callers:
            assert list(callers.map(call, range(4))) == [0] * 4
        assert running.health.crashes == 0
        until(lambda: running.health.shared_bytes == 0)
