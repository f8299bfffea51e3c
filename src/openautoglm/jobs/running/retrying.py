"""Which errors may pass, and how long to wait before a row is tried again.

Owns `may_pass`, `asked_wait_s` and `Backoff`. Knows nothing of rows.

An error may pass where it says so by an attribute `may_pass`, where the network or a deadline made
it, or where it carries an HTTP status that servers give when they are busy or down. What an error
was raised from, or while handling, is looked at too.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSING_STATUSES: Final = frozenset({408, 409, 425, 429})
SERVER_ERRORS: Final = range(500, 600)
DEEPEST: Final = 10
"""Errors that are looked at behind one."""

LONGEST_S: Final = 60.0
"""Of waits that we choose."""

LONGEST_ASKED_S: Final = 600.0
"""Of waits that a server asks for; a longer one is cut, lest one answer stops a job for days."""


def may_pass(error: BaseException) -> bool:
    """Whether the same row may be answered when it is tried again later.

    Example:
        >>> may_pass(ConnectionResetError()), may_pass(ValueError("no date"))
        (True, False)
    """
    return any(_passes(one) for one in _chain(error))


def asked_wait_s(error: BaseException) -> float:
    """Return how long an error asks to wait by an attribute `wait_s`; 0 where it does not.

    Example:
        >>> from openautoglm.errors import BackendRequestError
        >>> asked_wait_s(BackendRequestError("busy", may_pass=True, wait_s=2.5))
        2.5
    """
    waits = (getattr(one, "wait_s", None) for one in _chain(error))
    asked = [float(w) for w in waits if isinstance(w, (int, float)) and math.isfinite(w)]
    return min(max(asked, default=0.0), LONGEST_ASKED_S)


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


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those behind it, the nearest first."""
    one: BaseException | None = error
    for _ in range(DEEPEST):
        if one is None:
            return
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _passes(error: BaseException) -> bool:
    said = getattr(error, "may_pass", None)
    if isinstance(said, bool):
        return said
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    status = _status(error)
    return status in PASSING_STATUSES or status in SERVER_ERRORS


def _status(error: BaseException) -> object:
    """Return the HTTP status that an error of some client carries."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int):
                return status
    return None
