"""A shard that this worker holds: its rows as tasks, and how many of them are done.

Owns `OpenShard` and `Task`. Each number is changed by one thread at a time: what was drawn by
whoever draws, what was kept by the keeper. Knows nothing of ledgers and of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import msgspec

from openautoglm.errors import SourceChangedError
from openautoglm.jobs.running.careful import Care

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.data.source import Record, Shard
    from openautoglm.jobs.ledger.records import Claim
    from openautoglm.jobs.running.tries import Lot


@final
class Task(msgspec.Struct, eq=False):
    """A row that is to be worked on. One thread at a time has it.

    Attributes:
        shard: which it is of.
        ordinal: its place there.
        record: what the source gave.
        lot: how it is worked on.
        tries: how often it was tried.
        counted: those of them that count; tries while the model's server was down do not.
    """

    shard: OpenShard
    ordinal: int
    record: Record
    lot: Lot = "usual"
    tries: int = 0
    counted: int = 0


@final
class OpenShard:
    """The rows of a claim that have no outcome yet.

    Args:
        claim: what is held.
        read: yields the records of a shard, from its beginning.
        answered: ordinals of the rows that have an outcome.
        window: rows that may have been begun behind those that are known to have been.

    Attributes:
        handed: rows of the shard, in order, that were begun.
        drawn: rows that were read and had no outcome.
        kept: outcomes of this attempt that are in the ledger.
        is_read: all its rows were drawn.
        is_lost: another worker has it; nothing of it counts any more.
        last: tasks that are done alone when all others are.
        is_absolved: no earlier death of a worker is held against it.
    """

    def __init__(
        self,
        claim: Claim,
        read: Callable[[Shard], Iterator[Record]],
        answered: frozenset[int],
        *,
        window: int,
    ) -> None:
        self.claim = claim
        self.handed = claim.handed
        self.drawn = 0
        self.kept = 0
        self.is_lost = False
        self.last: list[Task] = []
        self.care = Care(claim, window=window)
        self.is_absolved = not self.care.is_on
        self._answered = answered
        self._seen = 0
        asked = claim.shard.rows if claim.only is None else len(claim.only)
        self.is_read = len(answered) == asked
        self.tasks = self._tasks(read)

    @property
    def left(self) -> int | None:
        """How many rows are not read yet; None where that is not known."""
        rows = self.claim.shard.rows
        return None if rows is None or self.claim.only is not None else max(rows - self._seen, 0)

    @property
    def is_done(self) -> bool:
        """Whether every row has its outcome in the ledger."""
        return self.is_read and not self.last and self.kept == self.drawn

    @property
    def waits_for_last(self) -> bool:
        """Whether nothing is left but the rows that are done alone."""
        return self.is_read and bool(self.last) and self.kept == self.drawn - len(self.last)

    def _tasks(self, read: Callable[[Shard], Iterator[Record]]) -> Iterator[Task]:
        """Yield a task for each row that has no outcome.

        Raises:
            SourceChangedError: the shard holds another number of rows than it was planned with.
        """
        only = None if self.claim.only is None else frozenset(self.claim.only)
        for ordinal, record in enumerate(read(self.claim.shard)):
            self._seen = ordinal + 1
            if ordinal in self._answered or (only is not None and ordinal not in only):
                continue
            yield Task(self, ordinal, record, self.care.lot(ordinal))
        planned = self.claim.shard.rows
        if only is None and planned is not None and planned != self._seen:
            raise SourceChangedError(
                f"shard {self.claim.shard.index} of the source holds other rows than were planned",
                got=f"{self._seen} rows, planned were {planned}",
                fix="bring the source back as it was, or start a new job",
            )
