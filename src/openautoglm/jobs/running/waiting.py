"""Rows that wait: for a time, or for the answer to another row that is the same.

Owns `Waiting`. Not safe for threads: its owner has a lock.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from openautoglm.jobs.running.open_shard import OpenShard, Task


@final
class Waiting:
    """Keep rows until they are due.

    Args:
        most: rows that may wait before no new ones should be begun.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Task]] = []
        self._numbers = count()
        self._parked: dict[bytes, list[Task]] = {}
        self._parked_count = 0

    @property
    def is_full(self) -> bool:
        """Whether no new rows should be begun."""
        return len(self._heap) + self._parked_count >= self._most

    @property
    def next_s(self) -> float | None:
        """When the first row is due."""
        return self._heap[0][0] if self._heap else None

    def until(self, due_s: float, task: Task) -> None:
        """Keep a row until a time."""
        heapq.heappush(self._heap, (due_s, next(self._numbers), task))

    def park(self, same: bytes, task: Task) -> None:
        """Keep a row until `release`."""
        self._parked.setdefault(same, []).append(task)
        self._parked_count += 1

    def release(self, same: bytes, now_s: float) -> int:
        """Let parked rows be due; return how many."""
        tasks = self._parked.pop(same, [])
        self._parked_count -= len(tasks)
        for task in tasks:
            self.until(now_s, task)
        return len(tasks)

    def take(self, now_s: float) -> Task | None:
        """Return a row that is due, the one that is so for longest."""
        if self._heap and self._heap[0][0] <= now_s:
            return heapq.heappop(self._heap)[2]
        return None

    def due(self, now_s: float) -> int:
        """Return whether a row is due: about how many, where one is."""
        return len(self._heap) if self._heap and self._heap[0][0] <= now_s else 0

    def drop(self, shard: OpenShard) -> None:
        """Forget the rows of a shard."""
        self._heap = [entry for entry in self._heap if entry[2].shard is not shard]
        heapq.heapify(self._heap)
        for same, tasks in list(self._parked.items()):
            self._parked[same] = [task for task in tasks if task.shard is not shard]
            self._parked_count -= len(tasks) - len(self._parked[same])
