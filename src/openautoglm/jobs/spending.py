"""What a job has used of its budget, and when that is all.

Owns `Spending`. Rows under way when a limit is reached are still finished, so that what is used may
be above it by as many. Knows nothing of who pauses a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import Counts
    from openautoglm.jobs.spec import Budget

MORE: Final = "; to go on, resume with a larger one"
JUDGED_FROM: Final = 100
"""Rows; fewer say nothing of a rate."""


@final
class Spending:
    """Look whether there is more to spend.

    Args:
        budget: what there is.
        before: counts when the job was begun or resumed: the error rate is that of rows since then,
            so that a job that was paused for it can go on.
        seconds_before: of running, before that.
    """

    def __init__(self, budget: Budget, before: Counts, *, seconds_before: float = 0.0) -> None:
        self._budget = budget
        self._before = before
        self._seconds_before = seconds_before

    def seconds(self, running_s: float) -> float:
        """Return the seconds of running over all times the job was resumed."""
        return self._seconds_before + running_s

    def why_enough(self, counts: Counts, *, running_s: float) -> str | None:
        """Return which limit is reached, in words; None where none is.

        Args:
            counts: of the job, now.
            running_s: since it was begun or resumed.
        """
        budget = self._budget
        if budget.rows is not None and counts.done >= budget.rows:
            return f"the budget of {budget.rows} rows is used up{MORE}"
        if budget.tokens is not None and counts.tokens >= budget.tokens:
            return f"the budget of {budget.tokens} tokens is used up{MORE}"
        if budget.seconds is not None and self.seconds(running_s) >= budget.seconds:
            return f"the budget of {budget.seconds:g} seconds is used up{MORE}"
        return self._why_too_many_errors(counts)

    def _why_too_many_errors(self, counts: Counts) -> str | None:
        most = self._budget.error_rate
        done = counts.done - self._before.done
        failed = counts.failed - self._before.failed
        if most is None or done < JUDGED_FROM or failed <= most * done:
            return None
        return f"{failed} of {done} rows failed, and at most {most:.0%} may"
