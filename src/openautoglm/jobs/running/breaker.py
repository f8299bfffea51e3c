"""Whether rows are worked on at all: not while most of them fail with errors that may pass.

Owns `Breaker`. A model server that is down would use up the tries of every row; so when half of the
last rows failed that way, no row is given out for a while, and then one alone, until one is
answered. Not safe for threads: its owner has a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

if TYPE_CHECKING:
    from openautoglm.jobs.running.retrying import Backoff

WINDOW: Final = 20
"""Rows that are judged by."""
MOST: Final = WINDOW // 2
"""Failures among them that open it."""

_MASK: Final = (1 << WINDOW) - 1

Gate: TypeAlias = Literal["open", "one", "shut"]
"""For rows: all may go, one may, none may."""


@final
class Breaker:
    """Count what rows end in.

    Args:
        backoff: how long to wait for a server that is down.

    Attributes:
        until_s: until when no row is given out; 0 where all are.
        storms: how often it began to hold rows back.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._last = 0  # a bit for each row: 1 where it failed
        self._waits = 0
        self._is_probing = False
        self.until_s = 0.0
        self.storms = 0

    @property
    def is_storm(self) -> bool:
        """Whether rows are held back."""
        return self.until_s > 0

    def gate(self, now_s: float) -> Gate:
        """Return which rows may go."""
        if not self.until_s:
            return "open"
        return "shut" if self._is_probing or now_s < self.until_s else "one"

    def probe(self) -> None:
        """Note that the one row went."""
        self._is_probing = True

    def withdraw(self) -> None:
        """Note that the one row came back without an answer of any kind; another may go."""
        self._is_probing = False

    def passed(self, *, is_probe: bool) -> None:
        """Note that a row was answered, or failed for good: who works on rows is there."""
        self._last = (self._last << 1) & _MASK
        if is_probe:
            self._last = 0
            self._is_probing = False
            self.until_s = 0.0
        elif not self._last and not self.until_s:
            self._waits = 0

    def failed(self, now_s: float, *, asked_s: float, is_probe: bool, is_first: bool) -> bool:
        """Note that a row failed with an error that may pass; return whether this try counts.

        It does not where others showed before that everything fails; that of a probe does, or
        rows that alone fail for ever would be tried for ever. Only the first failure of a row says
        something about the others.
        """
        if is_first:
            self._last = ((self._last << 1) | 1) & _MASK
        if self.until_s and not is_probe:
            self.until_s = max(self.until_s, now_s + asked_s)
            return False
        if is_probe or self._last.bit_count() >= MOST:
            self.storms += not self.until_s
            self._waits += 1
            self._is_probing = False
            self.until_s = now_s + max(asked_s, self._backoff.steady_wait_s(self._waits))
        return True
