"""What the bus is told of a job: every change of its state, and each second how far it is.

Owns `Teller`. Costs a look into a table where nobody has imported the bus. Knows nothing of how a
job is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from openautoglm.engine.news import is_anybody_there

if TYPE_CHECKING:
    from openautoglm.jobs.progress import Progress

EVERY_S: Final = 1.0
"""Time between two messages that only say how far a job is."""


@final
class Teller:
    """Tell of one job."""

    def __init__(self) -> None:
        self._state = ""
        self._next_s = 0.0

    def tell(self, progress: Progress, *, now_s: float) -> None:
        """Tell where there is something new, and somebody.

        Args:
            progress: of the job.
            now_s: of a monotonic clock.
        """
        if progress.state == self._state and now_s < self._next_s:
            return
        self._state, self._next_s = progress.state, now_s + EVERY_S
        if not is_anybody_there():
            return
        from openautoglm.bus import events

        events.announce(
            lambda: events.JobState(
                job=progress.job,
                task=progress.name,
                state=progress.state,
                done=progress.counts.done,
                failed=progress.counts.failed,
                total=progress.counts.rows,
                reason=progress.reason,
            )
        )
