"""Noise of the machine is taken off, and never more than there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.plugins.trial.latency import calibrated, latency_of, percentile

times = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=60)


@given(times, times)
def test_a_percentile_lies_between_the_median_and_what_was_measured(
    taken: list[float], known: list[float]
) -> None:
    found = calibrated(taken, known)

    assert found.p95_ms >= found.p50_ms
    assert found.p99_ms >= found.p50_ms
    assert found.p95_ms <= max(found.p50_ms, percentile(taken, 95) * 1e3) + 1e-6
    assert found.noise_ms >= 0
    assert found.calls == len(taken)


@given(times)
def test_a_quiet_machine_takes_nothing_off(taken: list[float]) -> None:
    found = calibrated(taken, [0.001] * 10)
    assert found.noise_ms == 0
    assert found.p95_ms == pytest.approx(max(found.p50_ms, percentile(taken, 95) * 1e3), abs=1e-5)


@given(st.lists(st.integers(), min_size=1), st.integers(1, 100))
def test_a_percentile_is_not_exceeded_by_so_many_of_a_hundred(
    values: list[int], percent: int
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_each_call_is_made_once_beside_the_warm_up() -> None:
    made = []
    found = latency_of(lambda: made.append(1), calls=7)
    assert found.calls == 7
    assert len(made) == 9
