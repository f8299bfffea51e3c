"""A launcher that runs nothing: it writes down what it was asked for.

For tests of schedules, your own too. Jobs are over when the test says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.ledger.records import State
    from openautoglm.jobs.spec import JobSpec


@final
class PaperLauncher:
    """See `openautoglm.jobs.schedules.Launcher`.

    Attributes:
        jobs: by id, what was launched, in order.
        states: by id.
        calls: ids as `launch` was called with them; one may be there again.
        cancelled: ids, likewise.
        killed: ids of jobs whose process is gone; the test says so, and `revive` takes them out.
        before: called with the id before a job is launched; may raise.
        after: called with the id after it was.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, JobSpec] = {}
        self.states: dict[str, State] = {}
        self.calls: list[str] = []
        self.cancelled: list[str] = []
        self.killed: list[str] = []
        self.before: Callable[[str], object] = len
        self.after: Callable[[str], object] = len

    def launch(self, spec: JobSpec, job: str) -> str:
        """Note a job as running, unless there is one of that id."""
        self.calls.append(job)
        self.before(job)
        if job not in self.jobs:
            self.jobs[job] = spec
            self.states[job] = "running"
        self.after(job)
        return job

    def revive(self, job: str) -> bool:
        """Return whether the test said that the job's process is gone; it is back then."""
        if job not in self.killed:
            return False
        self.killed.remove(job)
        return True

    def state_of(self, job: str) -> State | None:
        """Return what the test said last."""
        return self.states.get(job)

    def cancel(self, job: str) -> None:
        """Note that it was asked for; the job runs until the test ends it."""
        self.cancelled.append(job)

    def end(self, state: State = "done") -> None:
        """End all jobs that run."""
        self.states = dict.fromkeys(self.states, state)
