"""Which errors may pass, and how long to wait before the same is tried again.

Owns `may_pass`, `asked_wait_s`, and what of both crosses a wire: `passes_after_s` on the side that
failed, `let_pass` on the other. Knows no wire and nothing of what is tried.

An error may pass where it says so by an attribute `may_pass`, where the network or a deadline made
it, or where it carries an HTTP status that servers give when they are busy or down. What an error
was raised from, or while handling, is looked at too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSING_STATUSES: Final = frozenset({408, 409, 425, 429})
SERVER_ERRORS: Final = range(500, 600)
DEEPEST: Final = 10
"""Errors that are looked at behind one."""

LONGEST_ASKED_S: Final = 600.0
"""Of waits that a server asks for; a longer one is cut, lest one answer stops a job for days."""


def may_pass(error: BaseException) -> bool:
    """Whether the same may succeed when it is tried again later.

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


def passes_after_s(error: BaseException) -> float | None:
    """Return what another process is to know: the wait asked for; None where it will not pass.

    Example:
        >>> passes_after_s(TimeoutError()), passes_after_s(ValueError("no date"))
        (0.0, None)
    """
    return max(asked_wait_s(error), 0.0) if may_pass(error) else None


def let_pass(error: BaseException, after_s: object) -> None:
    """Mark an error that crossed with what `passes_after_s` said of it; nonsense marks nothing.

    Example:
        >>> error = RuntimeError("of a plugin")
        >>> let_pass(error, 1.5)
        >>> may_pass(error), asked_wait_s(error)
        (True, 1.5)
    """
    if isinstance(after_s, bool) or not isinstance(after_s, (int, float)):
        return
    vars(error)["may_pass"] = True
    if after_s > 0:
        vars(error)["wait_s"] = float(after_s)


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
