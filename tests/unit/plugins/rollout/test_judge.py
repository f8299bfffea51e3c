"""The tests of the judge: against reference values, and how often they are wrong."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.plugins.rollout.judge import (
    Counted,
    Limits,
    binomial_tail,
    fisher,
    judge,
    level,
    looks,
    p95,
    p95_bound,
    power,
)

LIMITS = Limits(max_error_rate=0.01, p95_ratio=1.5, p95_slack_s=0.002)
MS = 1e-3


def counted(*seconds: float, errors: int = 0) -> Counted:
    return Counted(requests=len(seconds), errors=errors, seconds=seconds)


@given(st.integers(1, 60), st.integers(0, 60), st.fractions(0, 1))
def test_the_binomial_tail_is_the_exact_sum(n: int, k: int, p: Fraction) -> None:
    exact = sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
    if 0 < p < 1:
        assert binomial_tail(k, n, float(p)) == pytest.approx(float(exact), rel=1e-9, abs=1e-12)


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_fishers_test_is_the_exact_sum(n: int, m: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, n))
    others = data.draw(st.integers(0, m))
    exact = Fraction(
        sum(
            comb(errors + others, k) * comb(n + m - errors - others, n - k)
            for k in range(errors, min(n, errors + others) + 1)
        ),
        comb(n + m, n),
    )
    assert fisher(errors, n, others, m) == pytest.approx(float(exact), rel=1e-9)


def test_the_looks_share_the_level() -> None:
    for requests in (1, 8, 9, 50, 200, 1000):
        count = len(looks(requests))
        assert looks(requests)[-1] == requests
        assert sum(level(k, count, 0.01) for k in range(count)) <= 0.01


def test_too_few_times_give_no_bound_of_the_p95() -> None:
    assert p95_bound([1.0] * 10, 0.01) is None
    assert p95_bound([float(n) for n in range(100)], 0.01) == 99.0


def test_the_bound_of_the_p95_is_below_it_as_rarely_as_promised() -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable
    bounds = [p95_bound([chance.random() for _ in range(300)], 0.05) for _ in range(2000)]
    below = sum(bound is not None and bound < 0.95 for bound in bounds)
    assert below / 2000 < 0.06
    assert p95([0.0, 1.0]) == 1.0


@pytest.mark.parametrize(
    ("canary", "stable", "is_bad"),
    [
        (counted(*[MS] * 8, errors=8), counted(*[MS] * 100), True),
        (counted(*[MS] * 200, errors=1), counted(*[MS] * 1000), False),
        (counted(*[MS] * 3, errors=3), counted(*[MS] * 3), False),  # nothing to be sure of
        (counted(*[MS] * 200, errors=40), counted(*[MS] * 1000, errors=200), False),
        (counted(*[MS] * 200, errors=80), counted(*[MS] * 1000, errors=200), True),
        (counted(*[20 * MS] * 8), counted(*[MS] * 300), True),
        (counted(*[MS] * 180, *[9 * MS] * 20), counted(*[MS] * 300), False),
        (counted(*[MS] * 140, *[9 * MS] * 60), counted(*[MS] * 300), True),
        (counted(*[2.9 * MS] * 200), counted(*[MS] * 900), False),  # noise of small times
        (counted(*[29 * MS] * 200), counted(*[20 * MS] * 900), False),
        (counted(*[31 * MS] * 200), counted(*[20 * MS] * 900), True),
        (counted(*[31 * MS] * 200), counted(), False),  # nothing beside it
        (counted(*[MS] * 20, errors=20), counted(), True),
    ],
)
def test_a_version_is_bad_where_the_tests_say_so(
    canary: Counted, stable: Counted, *, is_bad: bool
) -> None:
    verdict = judge(canary, stable, LIMITS, 1e-4)
    assert verdict.is_bad is is_bad, verdict.reason


@pytest.mark.parametrize(
    ("own", "beside", "before", "is_bad"),
    [
        ([50 * MS] * 4, [MS] * 40, [MS] * 400, True),
        ([50 * MS] * 4, [MS] * 10, [MS] * 400, False),  # too few beside it
        ([50 * MS] * 4, [MS] * 40, [], False),
        ([50 * MS] * 4, [50 * MS] * 40, [MS] * 400, False),  # load, which meets both
        ([2 * MS] * 4, [MS] * 40, [MS] * 400, False),
    ],
)
def test_a_much_slower_version_is_found_early_by_what_was_before(
    own: list[float], beside: list[float], before: list[float], *, is_bad: bool
) -> None:
    verdict = judge(counted(*own), counted(*beside), LIMITS, 1e-4, before=before)
    assert verdict.is_bad is is_bad, verdict.reason


def test_a_version_that_is_alike_is_rarely_called_bad_however_often_it_is_looked_at() -> None:
    chance, wrong, alpha = random.Random(3), 0, 0.02  # noqa: S311 - repeatable
    strict = Limits(max_error_rate=0.0, p95_ratio=1.0, p95_slack_s=0.0)
    for _ in range(400):
        stable = counted(*[chance.random() for _ in range(600)])
        stable = Counted(requests=600, errors=30, seconds=stable.seconds)
        own = [chance.random() for _ in range(100)]
        errors = [chance.random() < 0.05 for _ in range(100)]
        wrong += any(
            judge(
                counted(*own[:n], errors=sum(errors[:n])), stable, strict, level(k, 6, alpha)
            ).is_bad
            for k, n in enumerate(looks(100))
        )
    assert wrong / 400 <= alpha + 0.015


def test_what_is_rare_is_not_found_and_power_says_so() -> None:
    assert power(0.10, requests=200, accepted=0.01, alpha=0.001) > 0.99
    assert power(0.01, requests=200, accepted=0.01, alpha=0.001) < 0.001
    assert power(0.50, requests=3, accepted=0.3, alpha=0.0001) == 0.0
