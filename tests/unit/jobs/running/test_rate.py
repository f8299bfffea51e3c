"""Rows go as fast as their job may, and its workers share what it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.jobs.running.rate import BURST_S, Pace
from openautoglm.jobs.spec import Rate

if TYPE_CHECKING:
    from tests.unit.jobs.running.conftest import Site


def test_a_job_without_a_rate_never_waits() -> None:
    pace = Pace(Rate(), of=2, now_s=0.0)
    assert not pace.is_limited
    assert pace.wait_s(0.0) == 0.0


@settings(deadline=None)
@given(
    st.floats(0.5, 5000),
    st.integers(1, 8),
    st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_no_more_rows_go_than_the_rate_and_one_burst_allow(
    per_s: float, of: int, steps: list[float]
) -> None:
    pace = Pace(Rate(rows_per_s=per_s), of=of, now_s=0.0)
    now_s, gone = 0.0, 0
    for step_s in steps:
        now_s += step_s
        for _ in range(50):
            if pace.wait_s(now_s) > 0:
                break
            pace.begun()
            gone += 1
    share = per_s / of
    assert gone <= share * now_s + max(1.0, share * BURST_S) + 1.001


def test_after_the_wait_that_is_told_a_row_may_go() -> None:
    pace = Pace(Rate(rows_per_s=3.0), of=1, now_s=0.0)
    for _ in range(10):
        wait_s = pace.wait_s(0.0)
        pace.begun()
    assert wait_s > 2.0
    assert pace.wait_s(10.0) == 0.0


def test_tokens_that_were_used_are_paid_before_the_next_row_goes() -> None:
    pace = Pace(Rate(tokens_per_s=100.0), of=2, now_s=0.0)
    assert pace.wait_s(0.0) == 0.0
    pace.used(510)
    assert 9.9 < pace.wait_s(0.0) < 10.1
    assert pace.wait_s(10.1) == 0.0


def test_a_job_with_a_rate_ends(site: Site) -> None:
    site.rows(600)
    site.plan(lambda _: {}, rate=Rate(rows_per_s=1500.0), shard_rows=600)
    assert site.work().why == "done"
    assert site.ledger.counts("letters-1").ok == 600
