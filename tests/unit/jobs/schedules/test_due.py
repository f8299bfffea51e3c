from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.jobs.schedules.due import SKEW, due, mark
from openautoglm.jobs.schedules.schedule import Catchup, CatchupMode
from openautoglm.jobs.schedules.times import Grid, Once

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOURLY = Grid(NOON - timedelta(days=100), timedelta(hours=1))


def ago(**length: float) -> datetime:
    return NOON - timedelta(**length)


@pytest.mark.parametrize(
    ("catchup", "fires", "missed"),
    [
        (Catchup(mode="none"), [0], 6),
        (Catchup(mode="latest"), [0], 6),
        (Catchup(mode="all"), [6, 5, 4, 3, 2, 1, 0], 0),
        (Catchup(mode="all", max=2), [1, 0], 5),
        (Catchup(mode="all", window_s=3 * 3600), [3, 2, 1, 0], 3),
        (Catchup(mode="all", window_s=3 * 3600 - 1), [2, 1, 0], 4),
    ],
)
def test_a_time_that_has_just_come_fires_and_earlier_ones_by_the_rule(
    catchup: Catchup, fires: list[int], missed: int
) -> None:
    found = due(HOURLY, catchup, seen=ago(hours=7), now=NOON)
    assert found.fire == tuple(ago(hours=hours) for hours in fires)
    assert found.count == missed
    assert found.missed == (ago(hours=6) if missed else None)


@pytest.mark.parametrize(
    ("mode", "late_s", "fires"),
    [("none", 60, True), ("none", 61, False), ("latest", 1800, True), ("latest", 1801, False)],
)
def test_the_last_time_fires_if_it_is_no_older_than_the_window_allows(
    mode: CatchupMode, late_s: float, *, fires: bool
) -> None:
    catchup = Catchup(mode=mode, window_s=1800)
    found = due(HOURLY, catchup, seen=ago(minutes=1), now=NOON + timedelta(seconds=late_s))
    assert found.fire == ((NOON,) if fires else ())
    assert found.missed == (None if fires else NOON)


def test_nothing_is_due_before_the_next_time_or_after_the_last() -> None:
    assert due(HOURLY, Catchup(), seen=NOON, now=NOON + timedelta(minutes=59)).fire == ()
    assert due(Once(NOON), Catchup(), seen=NOON, now=NOON + timedelta(days=9)).fire == ()


def test_a_year_of_seconds_is_caught_up_with_without_a_look_at_each() -> None:
    seconds = Grid(ago(days=365), timedelta(seconds=1))
    found = due(seconds, Catchup(window_s=1e8), seen=ago(days=365), now=NOON)
    assert found.fire == (NOON,)
    assert found.count == 1000


@settings(max_examples=200, deadline=None)
@given(
    step_s=st.integers(1, 5000),
    seen_s=st.integers(0, 20_000),
    now_s=st.integers(0, 20_000),
    window_s=st.integers(0, 20_000),
    most=st.integers(1, 9),
    mode=st.sampled_from(["none", "latest", "all"]),
)
def test_what_is_due_is_the_end_of_the_list_of_all_times(
    step_s: int, seen_s: int, now_s: int, window_s: int, most: int, mode: CatchupMode
) -> None:
    begin = NOON - timedelta(days=1)
    seen, now = begin + timedelta(seconds=seen_s), begin + timedelta(seconds=now_s)
    passed = [begin + timedelta(seconds=n * step_s) for n in range(now_s // step_s + 1)]
    passed = [time for time in passed if seen < time <= now]
    window = 60 if mode == "none" else max(window_s, 60)
    fresh = [time for time in passed if (now - time).total_seconds() <= window]
    expected = fresh[-(most if mode == "all" else 1) :]
    found = due(
        Grid(begin, timedelta(seconds=step_s)),
        Catchup(mode=mode, window_s=window_s, max=most),
        seen=seen,
        now=now,
    )
    assert list(found.fire) == expected
    assert found.count == min(len(passed) - len(expected), 1000)
    assert found.missed == (passed[0] if found.count else None)


def test_a_change_counts_from_now_or_from_a_clock_that_is_a_little_ahead() -> None:
    assert mark(NOON, ago(days=1)) == NOON
    assert mark(NOON, NOON + SKEW) == NOON + SKEW
    assert mark(NOON, NOON + SKEW + timedelta(seconds=1)) == NOON
