"""Whether a new version is worse than the stable one: exact tests, and when they are made.

Pure. A version is bad where its error rate is above both the stable one's (Fisher's exact test) and
what is accepted (exact binomial test), or where more than 5 in 100 of its answers come later than
the accepted multiple of the stable version's P95 (binomial test against an upper confidence bound
of that P95 by order statistics; no shape of the distribution is assumed). Both versions serve at
the same time, and chance decides which request goes where, so load and noise meet both. While too
few answers came beside the new version, those from before it count too, and only what is later than
every answer beside it is late.

The tests are made when 4, 8, 16, ... answers have come and when all have. Looking often would find
something by chance; so the looks share one level: the last has half of it, the k-th before it
2**-(k + 1). The probability that a version that is not bad is ever called bad is at most `alpha`.

What this does not find: what is rare against the number of requests, see `power`; a wrong answer;
and a slower version where nothing serves beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_LOOK: Final = 4
TAIL: Final = 0.05
"""P95: of 100 answers, 5 come later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What one version answered in a step; `seconds` are those of calls whose time counts."""

    requests: int = 0
    errors: int = 0
    seconds: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is accepted; see `Canary`."""

    max_error_rate: float
    p95_ratio: float
    p95_slack_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the tests said, and why."""

    is_bad: bool
    reason: str


def looks(requests: int) -> tuple[int, ...]:
    """Return after how many answers the tests are made.

    Example:
        >>> looks(50)
        (4, 8, 16, 32, 50)
    """
    found = []
    count = FIRST_LOOK
    while count < requests:
        found.append(count)
        count *= 2
    return (*found, requests)


def level(look: int, of: int, alpha: float) -> float:
    """Return the level of one look; those of all looks add up to at most `alpha`.

    Example:
        >>> [level(k, 4, 0.01) for k in range(4)]
        [0.0025, 0.00125, 0.000625, 0.005]
    """
    return alpha / 2 if look == of - 1 else alpha / 2 ** (look + 2)


def judge(
    canary: Counted,
    stable: Counted,
    limits: Limits,
    alpha: float,
    *,
    before: Sequence[float] = (),
) -> Verdict:
    """Decide on what was counted by now, at one level for both tests together.

    Args:
        canary: what the new version answered.
        stable: what the stable one answered beside it.
        limits: what is accepted.
        alpha: the level.
        before: times of the stable version from before, for while too few came beside it.
    """
    said = f"{canary.errors} of {canary.requests} failed"
    p_absolute = binomial_tail(canary.errors, canary.requests, limits.max_error_rate)
    p_beside = fisher(canary.errors, canary.requests, stable.errors, stable.requests)
    if max(p_absolute, p_beside) <= alpha / 2:
        beside = f"{stable.errors} of {stable.requests} of the stable version"
        return Verdict(is_bad=True, reason=f"{said}, {beside} (p {max(p_absolute, p_beside):.1g})")
    bound = _stable_bound(stable.seconds, before, alpha / 4)
    if bound is None or not canary.seconds:
        return Verdict(is_bad=False, reason=f"{said}; too few to compare times")
    limit = max(bound * limits.p95_ratio, bound + limits.p95_slack_s)
    late = sum(1 for seconds in canary.seconds if seconds > limit)
    p_late = binomial_tail(late, len(canary.seconds), TAIL)
    times = f"{late} of {len(canary.seconds)} took longer than {limit * 1e3:.3g} ms"
    if p_late <= alpha / 4:
        return Verdict(is_bad=True, reason=f"{times} (p {p_late:.1g})")
    return Verdict(is_bad=False, reason=f"{said}, {times}")


def binomial_tail(count: int, of: int, rate: float) -> float:
    """Return the probability of at least `count` in `of`, each with the probability `rate`.

    Example:
        >>> round(binomial_tail(2, 3, 0.5), 6)
        0.5
    """
    if count <= 0:
        return 1.0
    if rate <= 0.0:
        return 0.0
    log_in, log_out = math.log(rate), math.log1p(-rate)
    terms = (_log_choose(of, k) + k * log_in + (of - k) * log_out for k in range(count, of + 1))
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def fisher(errors: int, of: int, other_errors: int, of_other: int) -> float:
    """Return the probability of so many errors here, or more, where both rates are the same.

    Without anything beside it nothing speaks against a difference: 0.

    Example:
        >>> round(fisher(3, 3, 0, 3), 6)
        0.05
    """
    if not of_other:
        return 0.0 if errors else 1.0
    total, all_errors = of + of_other, errors + other_errors
    every = _log_choose(total, of)
    most = min(of, all_errors)
    terms = (
        _log_choose(all_errors, k) + _log_choose(total - all_errors, of - k) - every
        for k in range(errors, most + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def needed_beside(alpha: float) -> int:
    """Return how many answers of the stable version give `judge` a bound of its P95.

    Example:
        >>> p95_bound([1.0] * needed_beside(0.01), 0.01 / 4)
        1.0
    """
    return math.ceil(math.log(alpha / 4) / math.log(1 - TAIL))


def p95_bound(seconds: Sequence[float], alpha: float) -> float | None:
    """Return what the true P95 exceeds with a probability of at most `alpha`; None: too few.

    The k-th smallest of n is above the P95 unless k or more of them lie below it.
    """
    n = len(seconds)
    if not n or (1 - TAIL) ** n > alpha:
        return None
    low, high = math.ceil((1 - TAIL) * n), n
    while low < high:  # the smallest k with P(Bin(n, 0.95) >= k) <= alpha
        middle = (low + high) // 2
        if binomial_tail(middle, n, 1 - TAIL) <= alpha:
            high = middle
        else:
            low = middle + 1
    return sorted(seconds)[low - 1]


def _stable_bound(beside: Sequence[float], before: Sequence[float], alpha: float) -> float | None:
    """Return a bound of the stable version's P95, of more than what came beside where need be.

    What was before may have met less load: then nothing that came beside is late either.
    """
    bound = p95_bound(beside, alpha)
    if bound is not None or len(beside) < 1 / TAIL:
        return bound
    wider = p95_bound((*before, *beside), alpha)
    return None if wider is None else max(wider, *beside)


def p95(seconds: Sequence[float]) -> float | None:
    """Return the P95 of what was counted; None of nothing."""
    if not seconds:
        return None
    return sorted(seconds)[max(0, math.ceil((1 - TAIL) * len(seconds)) - 1)]


def power(rate: float, *, requests: int, accepted: float, alpha: float) -> float:
    """Return the probability that the last look of a step finds a true error rate.

    The stable version is taken to have no errors, and many requests.

    Example:
        >>> power(0.10, requests=200, accepted=0.01, alpha=0.001 / 3) > 0.99
        True
    """
    needed = next(
        k
        for k in range(requests + 2)
        if binomial_tail(k, requests, accepted) <= alpha / 4 or k > requests
    )
    return binomial_tail(needed, requests, rate) if needed <= requests else 0.0


def _log_choose(n: int, k: int) -> float:
    if k < 0 or k > n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
