"""How long calls take, with the noise of the machine taken off.

Owns `Latency` and its method: calls take turns with a known call of ours in the same thread, work
in pure Python that takes about as long as the plugin's median call, but at most `KNOWN_MAX_S`. What
the known call loses between its median and a percentile is the machine's doing (other processes,
interrupts, a slow clock), and is taken off the plugin's percentile; a percentile never falls below
the plugin's own median by that. Noise that hits one kind of call only is not noticed.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KNOWN_MAX_S: Final = 0.005
WARM_UP: Final = 2


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles in milliseconds, noise taken off.

    Attributes:
        p50_ms: half of the calls take less.
        p95_ms: 95 of 100 take less.
        p99_ms: 99 of 100 take less.
        noise_ms: what was taken off at 95.
        calls: how many were made.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    noise_ms: float
    calls: int

    def __str__(self) -> str:
        return (
            f"P50 {self.p50_ms:.3g} ms, P95 {self.p95_ms:.3g} ms, P99 {self.p99_ms:.3g} ms over "
            f"{self.calls} calls, {self.noise_ms:.2g} ms of noise taken off at P95"
        )


def latency_of(call: Callable[[], None], *, calls: int) -> Latency:
    """Time `calls` calls in turn with a known one."""
    warm = [_timed(call) for _ in range(WARM_UP)]
    known = _known(min(*warm, KNOWN_MAX_S))
    taken: list[float] = []
    known_taken: list[float] = []
    for _ in range(calls):
        known_taken.append(_timed(known))
        taken.append(_timed(call))
    return calibrated(taken, known_taken)


def calibrated(taken_s: Sequence[float], known_s: Sequence[float]) -> Latency:
    """Return the percentiles of calls less what a known call lost at the same ones.

    Example:
        >>> quiet = calibrated([0.010] * 100, [0.001] * 100)
        >>> quiet.p95_ms, quiet.noise_ms
        (10.0, 0.0)
        >>> noisy = calibrated([0.010] * 90 + [0.050] * 10, [0.001] * 90 + [0.041] * 10)
        >>> noisy.p95_ms, noisy.noise_ms
        (10.0, 40.0)
    """
    middle, known_middle = statistics.median(taken_s), statistics.median(known_s)

    def at(percent: int) -> tuple[float, float]:
        noise = max(0.0, percentile(known_s, percent) - known_middle)
        return max(middle, percentile(taken_s, percent) - noise), noise

    return Latency(
        p50_ms=round(middle * 1e3, 6),
        p95_ms=round(at(95)[0] * 1e3, 6),
        p99_ms=round(at(99)[0] * 1e3, 6),
        noise_ms=round(at(95)[1] * 1e3, 6),
        calls=len(taken_s),
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that `percent` of 100 values do not exceed.

    Example:
        >>> percentile(range(1, 101), 95)
        95
    """
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _known(seconds: float) -> Callable[[], None]:
    """Return work of a fixed number of steps that takes about `seconds` here."""
    probe = 1_000
    step = min(_timed(lambda: _count(probe)) for _ in range(5)) / probe
    steps = max(1, int(seconds / step))
    return lambda: _count(steps)


def _count(steps: int) -> None:
    for _ in range(steps):
        pass
