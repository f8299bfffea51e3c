"""When a worker that died may come back: OTP's restart intensity, and back-off with jitter.

Owns `Supervision`, the numbers, and `Restarts`, the arithmetic on them. Pure: time comes in as an
argument. Knows nothing of processes.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How a plugin's workers are looked after.

    Attributes:
        intensity: restarts within `period_s`; one more, and the plugin is quarantined.
        period_s: what `intensity` is counted over.
        backoff_s: wait before the second restart in a period, doubled for each further one. The
            first is at once.
        longest_backoff_s: never wait longer.
        heartbeat_s: how often a worker is asked whether it lives.
        hung_after_s: a worker that owes an answer so long is killed.
        start_s: time for a worker to import its plugin.
        grace_s: how long a call may go on after its time, to answer that it was cancelled, before
            its worker is killed.
        stop_s: time for a worker to end by itself when the plugin is stopped.
        rest_s: memory shared with workers that nobody used so long is given back.
        attempts: how often an idempotent call is made in all.
    """

    intensity: int = 5
    period_s: float = 60.0
    backoff_s: float = 0.1
    longest_backoff_s: float = 10.0
    heartbeat_s: float = 0.5
    hung_after_s: float = 5.0
    start_s: float = 30.0
    grace_s: float = 0.2
    stop_s: float = 5.0
    rest_s: float = 5.0
    attempts: int = 4


@final
class Restarts:
    """The restarts of one plugin.

    Example:
        >>> restarts = Restarts(Supervision(intensity=1, period_s=60), jitter=lambda: 1.0)
        >>> restarts.delay_s(0.0), restarts.delay_s(10.0), restarts.delay_s(70.0)
        (0.0, None, 0.0)
    """

    def __init__(
        self, supervision: Supervision, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self._supervision = supervision
        self._jitter = jitter
        self._times: deque[float] = deque()
        self.total = 0

    def delay_s(self, now: float) -> float | None:
        """Count a death at `now`; return how long to wait, or None: quarantine."""
        limits = self._supervision
        while self._times and self._times[0] <= now - limits.period_s:
            self._times.popleft()
        if len(self._times) >= limits.intensity:
            return None
        self._times.append(now)
        self.total += 1
        doubled: int = max(0, len(self._times) - 2)
        if len(self._times) == 1:
            return 0.0
        longest = min(limits.longest_backoff_s, limits.backoff_s * 2.0 ** min(doubled, 60))
        return longest * (0.5 + 0.5 * self._jitter())  # jitter: not all at the same moment
