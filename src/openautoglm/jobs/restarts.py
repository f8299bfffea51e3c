"""When a worker that died is started again, and when that is of no use.

Owns `Restarts`. Pure: time comes in as an argument. Knows nothing of processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import Ending

FIRST_S: Final = 0.1
LONGEST_S: Final = 30.0
LONGEST_KILLED_S: Final = 1.0
HOPELESS: Final = 6
"""Deaths in a row, and two more for each worker, with no row done between them."""


@final
class Restarts:
    """The deaths of a crew.

    Args:
        of: workers in it.

    Example:
        >>> restarts = Restarts(of=1)
        >>> restarts.died(0, "crashed", now_s=5.0, done=10)
        >>> restarts.due(now_s=5.0)
        [0]
        >>> restarts.died(0, "crashed", now_s=6.0, done=10)
        >>> restarts.due(now_s=6.0), restarts.due(now_s=6.1)
        ([], [0])
    """

    def __init__(self, *, of: int) -> None:
        self._most = HOPELESS + 2 * of
        self._due_s: dict[int, float] = {}
        self._in_a_row = 0
        self._crashes = 0
        self._done = -1

    @property
    def is_hopeless(self) -> bool:
        """Whether workers die of themselves before they do anything, again and again."""
        return self._crashes >= self._most

    def died(self, index: int, ending: Ending, *, now_s: float, done: int) -> None:
        """Count a death.

        Args:
            index: of the worker.
            ending: how; one who was killed says nothing against the job.
            now_s: of a monotonic clock.
            done: rows of the job that are done by now.
        """
        if done != self._done:
            self._in_a_row = self._crashes = 0
        self._done = done
        self._in_a_row += 1
        self._crashes += ending == "crashed"
        longest_s = LONGEST_KILLED_S if ending == "killed" else LONGEST_S
        doubled: float = FIRST_S * 2.0 ** min(self._in_a_row - 2, 20)
        self._due_s[index] = now_s + (min(doubled, longest_s) if self._in_a_row > 1 else 0.0)

    def later(self, index: int, *, now_s: float, wait_s: float) -> None:
        """Start a worker later on that did not die."""
        self._due_s[index] = now_s + wait_s

    def due(self, *, now_s: float) -> list[int]:
        """Return the workers that are to be started now, each once."""
        found = [index for index, due_s in self._due_s.items() if due_s <= now_s]
        for index in found:
            del self._due_s[index]
        return found
