"""How long a row waits before its next try: `Backoff`. Which errors may pass: `errors.passing`.

Knows nothing of rows.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_S: Final = 60.0
"""Of waits that we choose."""


@final
class Backoff:
    """Waits that double and are random, so that many who wait do not come back together.

    Args:
        first_s: the longest first wait.
        chance: returns a number from 0 to 1.
    """

    def __init__(self, first_s: float, chance: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._chance = chance

    def wait_s(self, failures: int) -> float:
        """Return anything from nothing to the full wait, for a row that failed so often.

        Example:
            >>> [Backoff(1.0, lambda: 1.0).wait_s(failures) for failures in (1, 2, 3, 99)]
            [1.0, 2.0, 4.0, 60.0]
        """
        return self._full_s(failures) * self._chance()

    def steady_wait_s(self, failures: int) -> float:
        """Return half of the full wait or more, for what everybody waits for."""
        return self._full_s(failures) * (0.5 + self._chance() / 2)

    def _full_s(self, failures: int) -> float:
        return min(LONGEST_S, self._first_s * 2.0 ** min(max(failures, 1) - 1, 64))
