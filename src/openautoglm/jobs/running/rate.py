"""How fast rows may go: token buckets for rows and for tokens.

Owns `Pace`. What rows cost in tokens is known only when they are answered, so the bucket may owe;
then nothing goes until that is paid. Not safe for threads: its owner has a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from openautoglm.jobs.spec import Rate

BURST_S: Final = 0.2
"""What a bucket holds at most, in seconds of its rate."""


@final
class Bucket:
    """Fill at a rate and be spent from.

    Example:
        >>> bucket = Bucket(10.0, now_s=0.0)
        >>> bucket.spend(7)
        >>> round(bucket.wait_s(now_s=0.1), 3), round(bucket.wait_s(now_s=0.3), 3)
        (0.4, 0.2)
    """

    def __init__(self, per_s: float, *, now_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * BURST_S)
        self._level = self._most
        self._at_s = now_s

    def spend(self, amount: float) -> None:
        """Take out, also what is not there."""
        self._level -= amount

    def wait_s(self, now_s: float) -> float:
        """Return how long it is until there is something in it; 0 where there is."""
        self._level = min(self._most, self._level + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return 0.0 if self._level > 0 else -self._level / self._per_s + 1e-6


@final
class Pace:
    """The rates of one worker: its part of those of the job.

    Args:
        rate: of the job.
        of: workers it has.
        now_s: by the clock that is used later too.
    """

    def __init__(self, rate: Rate, *, of: int, now_s: float) -> None:
        def bucket(per_s: float | None) -> Bucket | None:
            return None if per_s is None else Bucket(per_s / of, now_s=now_s)

        self._rows = bucket(rate.rows_per_s)
        self._tokens = bucket(rate.tokens_per_s)
        self._buckets = tuple(b for b in (self._rows, self._tokens) if b is not None)

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self._buckets)

    def wait_s(self, now_s: float) -> float:
        """Return how long it is until the next row may go; 0 where it may."""
        return max((bucket.wait_s(now_s) for bucket in self._buckets), default=0.0)

    def begun(self) -> None:
        """Note that a row went."""
        if self._rows is not None:
            self._rows.spend(1)

    def used(self, tokens: int) -> None:
        """Note what a row cost."""
        if self._tokens is not None:
            self._tokens.spend(tokens)
