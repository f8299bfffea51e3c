"""What a scheduler needs of whoever runs jobs. Knows nothing of schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import State
    from openautoglm.jobs.spec import JobSpec


class Launcher(Protocol):
    """Starts jobs, and knows what became of them."""

    def launch(self, spec: JobSpec, job: str) -> str:
        """Start a job, unless there is one of that id; return its id.

        It must be the same to call it twice: a scheduler that was killed may have called it, and
        the next one cannot know. It returns when the job is sure to run, not when it is done.

        Raises:
            LedgerError: it is to be tried again later.
            Exception: any other; the slot has failed.
        """
        ...

    def revive(self, job: str) -> bool:
        """Go on with a job that is to run and whose process was killed; return whether it was so.

        It is asked now and then about every job that was launched and is not over, by each
        scheduler. A job that a person paused is none.

        Raises:
            LedgerError: it is to be tried again later.
            Exception: any other is told to people, and nothing comes of it.
        """
        ...

    def state_of(self, job: str) -> State | None:
        """Return the state of a job; None where there is none of that id."""
        ...

    def cancel(self, job: str) -> None:
        """Cancel a job; it may be over."""
        ...
