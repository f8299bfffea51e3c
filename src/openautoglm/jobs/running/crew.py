"""The threads that work on rows: as many as there is work for.

Owns `Crew`. A thread takes a row, works on it and hands over what became of it. Threads are added
while the ones there are wait for answers, not while they compute: more would only share a core.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, final

from openautoglm.jobs.ledger.records import RowOutcome
from openautoglm.jobs.running.tries import Trouble

if TYPE_CHECKING:
    from openautoglm.jobs.running.answering import Answering
    from openautoglm.jobs.running.cache import AnswerCache
    from openautoglm.jobs.running.feed import Feed
    from openautoglm.jobs.running.journal_buffer import JournalBuffer
    from openautoglm.jobs.running.open_shard import Task
    from openautoglm.jobs.running.tries import Parked

SLOW_S: Final = 0.0005
"""A row that takes longer than this on average waits for something."""
LOOK_S: Final = 0.004
"""How long the threads there are looked at before there are more."""


@final
class Crew:
    """Work on rows in threads.

    Args:
        size: threads at most.
        feed: gives rows.
        answering: works on them.
        buffer: takes what became of them.
        cache: of answers, where there is one.
    """

    def __init__(
        self,
        size: int,
        feed: Feed,
        answering: Answering,
        buffer: JournalBuffer,
        cache: AnswerCache | None = None,
    ) -> None:
        self._size = size
        self._feed, self._answering, self._buffer = feed, answering, buffer
        self._cache = cache
        self._threads: list[threading.Thread] = []
        self._looked_s = 0.0
        self._ended = 0

    def __len__(self) -> int:
        return len(self._threads)

    @property
    def is_at_work(self) -> bool:
        """Whether a thread still has a row."""
        return any(thread.is_alive() for thread in self._threads)

    def grow(self, now_s: float) -> float | None:
        """Add threads where those there wait; return in how many seconds to ask again."""
        count = len(self._threads)
        if count >= self._size:
            return None
        passed_s, ended = now_s - self._looked_s, self._feed.ended - self._ended
        if count and passed_s < LOOK_S:
            return LOOK_S
        self._looked_s, self._ended = now_s, self._feed.ended
        if not self._feed.may_use_more or (count and ended and passed_s * count < SLOW_S * ended):
            return None
        self._start(min(max(count, 1), self._size - count))
        return LOOK_S

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads' end; return whether all have."""
        ends_at = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        return not self.is_at_work

    def _start(self, count: int) -> None:
        for _ in range(count):
            name = f"openautoglm-row-{len(self._threads)}"
            # A daemon: a row that never ends must not keep the process, which gave it back.
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        try:
            task = self._feed.take()
            while task is not None:
                task = self._worked(task)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end in silence
            self._feed.fail(error)

    def _worked(self, task: Task) -> Task | None:
        """Work on a row and return the next one."""
        result = self._answering.answer(task)
        if isinstance(result, RowOutcome):
            self._buffer.add(task.shard, result)
            return self._feed.take(task, tokens=result.tokens)
        if not isinstance(result, Trouble):
            self._park(task, result)
            return self._feed.take()
        if self._feed.again(task, result):
            return self._feed.take()
        self._buffer.add(task.shard, self._answering.failed(task, result.error))
        return self._feed.take(task)

    def _park(self, task: Task, parked: Parked) -> None:
        self._feed.park(task, parked.same)
        if self._cache is None or not self._cache.is_under_way(parked.same):
            self._feed.release(parked.same)  # the answer came while this row was put aside
