"""What the bus is told of records that go through a pipeline: begun, how far, how it ended.

Owns `told`. Knows nothing of what the records are.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, final

from openautoglm.engine.news import is_anybody_there, new_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.bus.events import JobStateName
    from openautoglm.pipeline.result import PipelineResult

EVERY_S: Final = 1.0
"""Time between two messages that only say how far a job is."""


@final
class _Job:
    """One job and its counts."""

    def __init__(self, task: str, total: int | None) -> None:
        self.done = self.failed = 0
        self._name, self._task, self._total = new_name(), task, total

    def count(self, result: PipelineResult) -> None:
        self.done += 1
        self.failed += result.error is not None

    def tell(self, state: JobStateName, reason: str = "") -> None:
        if not is_anybody_there():
            return
        from openautoglm.bus import events

        events.announce(
            lambda: events.JobState(
                job=self._name,
                task=self._task,
                state=state,
                done=self.done,
                failed=self.failed,
                total=self._total,
                reason=reason,
            )
        )


def told(
    results: Iterator[PipelineResult],
    *,
    task: str,
    raises: bool = False,
    total: int | None = None,
    clock_s: Callable[[], float] = time.monotonic,
) -> Iterator[PipelineResult]:
    """Yield the results, and tell the bus of the job they are of.

    It begins with the first result that is asked for, and was cancelled where nobody asks on.

    Args:
        results: of the job.
        task: the pipeline's name.
        raises: raise the error of the first record that failed; else it is counted, no more.
        total: how many there will be; None where that is not known.
        clock_s: a monotonic clock.
    """
    job = _Job(task, total)
    job.tell("running")
    next_s = clock_s() + EVERY_S
    try:
        for result in results:
            job.count(result)
            if clock_s() >= next_s:
                job.tell("running")
                next_s = clock_s() + EVERY_S
            if raises and result.error is not None:
                raise result.error  # noqa: TRY301 - the job fails of it, as of any other
            yield result
    except GeneratorExit:
        is_done = job.done == total
        job.tell("done" if is_done else "cancelled", "" if is_done else "nobody read on")
        raise
    except KeyboardInterrupt:
        job.tell("cancelled", reason="it was interrupted")
        raise
    except BaseException as error:
        job.tell("failed", reason=str(error) or type(error).__name__)
        raise
    job.tell("done")
