"""The workers of one job, wherever they are: what a driver needs of them.

Owns the protocol `Crew`, and what is heard of a worker: `Began` and `Ended`. Knows nothing of how
processes are started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeAlias, final

from openautoglm.jobs.endings import in_words, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.jobs.ledger.records import Ending
    from openautoglm.jobs.orders import Report
    from openautoglm.jobs.presence import Presence

GRACE_S: Final = 15.0
"""For a worker to journal what it has and to give its shards back."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """A worker that is there.

    Attributes:
        index: its place in the crew.
        owner: its name in the ledger.
        presence: the process it is.
    """

    index: int
    owner: str
    presence: Presence


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A worker that is gone.

    Attributes:
        index: its place in the crew.
        owner: its name in the ledger.
        code: its exit code, negative for a signal; None where nobody saw it end, since its machine
            is gone. It may go on there, and is fenced.
        report: its last words, None where they were none.
        is_for_memory: the kernel ended some process for want of memory meanwhile.
        is_told: it was told to end.
        where: the machine it was on, where that is another one.
    """

    index: int
    owner: str
    code: int | None
    report: Report | None = None
    is_for_memory: bool = False
    is_told: bool = False
    where: str = ""

    @property
    def ending(self) -> Ending:
        """How it left its shards."""
        if self.code is None:
            return "lost"
        return judge(self.code, self.report, is_for_memory=self.is_for_memory)

    @property
    def how(self) -> str:
        """The same for people."""
        place = f" on {self.where}" if self.where else ""
        if self.code is None:
            return f"was lost with its machine{place}"
        return f"{in_words(self.code, is_for_memory=self.is_for_memory)}{place}"


News: TypeAlias = Began | Ended


class Crew(Protocol):
    """The workers of a job; leaving the `with` ends them all."""

    @property
    def running(self) -> frozenset[int]:
        """The places of workers that were started and not heard to end."""
        ...

    @property
    def words(self) -> str:
        """Where what workers write in words is to be found; empty for nowhere."""
        ...

    def start(self, index: int) -> str:
        """Start a worker in a place of the crew where none is; return its name in the ledger.

        That it began, and that it ended, is heard by `wait`.
        """
        ...

    def wait(self, timeout_s: float) -> Sequence[News]:
        """Return what happened since, waiting a while for the first.

        Raises:
            ClusterError: the cluster is gone, or lacks for good what a worker needs.
        """
        ...

    def stop(self, grace_s: float = GRACE_S) -> Sequence[Ended]:
        """Tell all workers to end, kill those that do not in time; return how all of them ended."""
        ...

    def __enter__(self) -> Self:
        """Get ready to start workers.

        Raises:
            ClusterError: they cannot be.
        """
        ...

    def __exit__(self, *_: object) -> None: ...


def new_owner(index: int, mark: str) -> str:
    """Return the name in the ledger of a new worker; the mark is one that no other had.

    Example:
        >>> new_owner(2, "0f3a")
        'worker-2-0f3a'
    """
    return f"worker-{index}-{mark}"
