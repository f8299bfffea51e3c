"""A job stops at what it may use, and can go on when it may use more."""

from __future__ import annotations

import pytest

from openautoglm.jobs.ledger.records import Counts
from openautoglm.jobs.spec import Budget
from openautoglm.jobs.spending import Spending


def counts(ok: int = 0, failed: int = 0, tokens: int = 0) -> Counts:
    return Counts(shards=1, shards_done=0, rows=None, ok=ok, failed=failed, tokens=tokens)


NONE = counts()


@pytest.mark.parametrize(
    ("budget", "below", "at", "why"),
    [
        (Budget(rows=10), counts(ok=8, failed=1), counts(ok=9, failed=1), "10 rows"),
        (Budget(tokens=10), counts(tokens=9), counts(tokens=10), "10 tokens"),
    ],
)
def test_a_limit_is_reached_when_it_is_used_up(
    budget: Budget, below: Counts, at: Counts, why: str
) -> None:
    spending = Spending(budget, NONE)
    assert spending.why_enough(below, running_s=1e9) is None
    assert why in (spending.why_enough(at, running_s=0.0) or "")


def test_seconds_are_counted_over_all_times_it_ran() -> None:
    spending = Spending(Budget(seconds=10), NONE, seconds_before=7.0)
    assert spending.why_enough(NONE, running_s=2.9) is None
    assert "10 seconds" in (spending.why_enough(NONE, running_s=3.0) or "")
    assert spending.seconds(3.0) == 10.0


def test_errors_are_judged_from_the_hundredth_row_on() -> None:
    spending = Spending(Budget(error_rate=0.5), NONE)
    assert spending.why_enough(counts(failed=99), running_s=0.0) is None
    assert spending.why_enough(counts(ok=50, failed=50), running_s=0.0) is None
    assert "51 of 100 rows failed" in (
        spending.why_enough(counts(ok=49, failed=51), running_s=0.0) or ""
    )
    assert (
        Spending(Budget(error_rate=None), NONE).why_enough(counts(failed=999), running_s=0) is None
    )


def test_errors_before_it_was_resumed_do_not_pause_it_again() -> None:
    spending = Spending(Budget(error_rate=0.1), counts(ok=10, failed=90))
    assert spending.why_enough(counts(ok=100, failed=99), running_s=0.0) is None
    assert spending.why_enough(counts(ok=100, failed=110), running_s=0.0) is not None
