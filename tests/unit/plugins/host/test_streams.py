"""Streams out of workers: values in order, errors after them, and an end on both sides."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import (
    PluginCallError,
    PluginCrashedError,
    PluginTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.host import PluginHost
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
def test_a_stream_yields_all_values_in_order(host: PluginHost, start: Start, level: str) -> None:
    probe = probe_of(host, start, level=level)
    assert list(probe.stream("count", 0)) == []
    assert list(probe.stream("count", 1)) == [0]
    assert list(probe.stream("count", 1000)) == list(range(1000))


def test_streams_carry_arrays(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    totals = [float(each.sum()) for each in probe.stream("arrays", 30)]  # type: ignore[attr-defined] # arrays
    assert totals == [5000.0 * n for n in range(30)]


def test_calls_go_on_between_the_values_of_a_stream(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    values = probe.stream("count", 200)
    other = probe.stream("count", 200)
    for value in range(200):
        assert next(values) == next(other) == value
        assert probe.call("echo", value) == value


def test_a_stream_that_fails_gives_its_values_first(host: PluginHost, start: Start) -> None:
    values = probe_of(host, start).stream("count_then_fail", 3)
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(PluginCallError, match="the end"):
        next(values)
    with pytest.raises(StopIteration):
        next(values)


def test_closing_a_stream_ends_it_in_the_worker(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    values: Any = probe.stream("endless")
    assert next(values) == 0
    values.close()
    assert probe.call("what_was_told") == "closed"
    with pytest.raises(StopIteration):
        next(values)


def test_a_stream_that_is_let_go_of_is_closed_before_the_next(
    host: PluginHost, start: Start
) -> None:
    probe = probe_of(host, start)
    next(probe.stream("endless"))

    def is_closed() -> bool:
        list(probe.stream("count", 1))
        return probe.call("what_was_told") == "closed"

    until(is_closed)


def test_a_stream_whose_worker_dies_says_so(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    values, got = probe.stream("count_then_die", 3), list[object]()
    with pytest.raises(PluginCrashedError, match="ended with its worker"):
        got.extend(values)
    assert probe.call("echo", 1) == 1


def test_a_stream_that_takes_no_value_in_time_says_so(host: PluginHost, start: Start) -> None:
    probe = probe_of(host, start)
    with pytest.raises(PluginTimeoutError):
        list(probe.stream("wait", 5, timeout_s=0.05))
    assert probe.call("echo", 1) == 1
