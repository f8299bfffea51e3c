"""Findings of a row: it holds, it does not, it could not be asked.

Takes the wording from `questions`. Knows nothing of how a row is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.plugins.inspect.questions import QUESTIONS
from openautoglm.plugins.report import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.plugins.report import Status

MAX_SHOWN: Final = 3


def passed(row: str, measured: str = "", *, contribution: str = "") -> Finding:
    """Return the finding of a row that holds."""
    question = QUESTIONS[row]
    return Finding(
        row=row,
        status="pass",
        measured=measured,
        threshold=question.threshold,
        contribution=contribution,
    )


def skipped(row: str, why: str, *, contribution: str = "") -> Finding:
    """Return the finding of a row that could not be asked."""
    return Finding(row=row, status="skip", measured=why, contribution=contribution)


def failed(
    row: str,
    measured: str,
    *,
    fix: str = "",
    contribution: str = "",
    threshold: str = "",
    status: Status = "fail",
) -> Finding:
    """Return the finding of a row that does not hold, with its consequence and one fix."""
    question = QUESTIONS[row]
    return Finding(
        row=row,
        status=status,
        measured=measured,
        threshold=threshold or question.threshold,
        consequence=question.consequence,
        fix=fix or question.fix,
        contribution=contribution,
    )


def shown(things: Iterable[str]) -> str:
    """Return the first few of several, and how many more there are.

    Example:
        >>> shown(["a", "b", "c", "d"])
        'a, b, c and 1 more'
    """
    found = list(things)
    more = len(found) - MAX_SHOWN
    return ", ".join(found[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
