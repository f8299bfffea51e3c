"""How a replacement goes: how many of the calls, how long, and what is bad. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from openautoglm.errors import InvalidParameterError

OnIdle: TypeAlias = Literal["promote", "wait", "abort"]
_WHOLE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A new version gets a growing part of the calls, and more only where it is not worse.

    Attributes:
        weights: percent of calls for the new version, step by step; the last is 100.
        requests: answers of the new version that each step is judged on.
        step_s: least time of a step.
        patience_s: where a step has not its answers by then, the new version is rolled back.
        idle_s: a step in which nobody calls for so long is judged on the recorded requests of the
            new version, made of both versions.
        on_idle: where nobody calls and no requests are recorded: `abort` rolls it back, `promote`
            lets it serve as it was proved before, `wait` waits for calls until `patience_s`.
        max_error_rate: errors of the new version that are accepted even where the stable one has
            fewer; above that it must not have more than the stable one.
        p95_ratio: how many times the stable version's P95 is accepted.
        p95_slack_s: a P95 higher by this much is accepted whatever the ratio: noise of small times.
        alpha: probability, over all steps, that a version that is not bad is rolled back.
        drain_s: time for calls and streams of a version that gets no new ones.
        hold_s: longest that calls wait while state moves.
        keep_requests: the last good version stays ready until the new one answered so many.

    Raises:
        InvalidParameterError: the numbers make no plan.

    Example:
        >>> Canary(weights=(10, 100), requests=50).weights
        (10, 100)
    """

    weights: tuple[int, ...] = (5, 25, 100)
    requests: int = 200
    step_s: float = 0.0
    patience_s: float = 600.0
    idle_s: float = 5.0
    on_idle: OnIdle = "abort"
    max_error_rate: float = 0.01
    p95_ratio: float = 1.5
    p95_slack_s: float = 0.002
    alpha: float = 0.001
    drain_s: float = 30.0
    hold_s: float = 5.0
    keep_requests: int = 1_000

    def __post_init__(self) -> None:
        rising = tuple(sorted(set(self.weights)))
        if not rising or self.weights != rising or rising[0] < 1 or rising[-1] != _WHOLE:
            raise InvalidParameterError(
                "the weights of a rollout rise to 100",
                got=self.weights,
                fix="for example weights=(5, 25, 100)",
            )
        if not 0 < self.alpha < 1 or not 0 <= self.max_error_rate < 1 or self.p95_ratio < 1:
            raise InvalidParameterError(
                "a limit of a rollout is outside of its range",
                got=f"alpha {self.alpha}, error rate {self.max_error_rate}, ratio {self.p95_ratio}",
                fix="0 < alpha < 1, 0 <= max_error_rate < 1, p95_ratio >= 1",
            )
        waits = (self.step_s, self.patience_s, self.idle_s)
        times = (*waits, self.p95_slack_s, self.drain_s, self.hold_s)
        if min(*times, self.requests, self.keep_requests) < 0:
            raise InvalidParameterError("times and counts of a rollout are not below 0", got=times)
        if self.on_idle not in get_args(OnIdle):
            raise InvalidParameterError(
                "a rollout knows no such way to go on without calls",
                got=self.on_idle,
                fix=f"one of {', '.join(get_args(OnIdle))}",
            )


AT_ONCE: Final = Canary(weights=(100,), requests=0)
"""All calls from the first moment, nothing judged; the last good version still stays ready."""
