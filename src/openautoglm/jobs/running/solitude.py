"""A row that is worked on alone: it waits until no other is under way and until it is noted.

Owns `Solitude`, a small machine: a row is wanted, then noted as a suspect in the ledger, then under
way. The keeper does the noting (`Change`). Not safe for threads: its owner has a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

if TYPE_CHECKING:
    from openautoglm.jobs.running.open_shard import OpenShard, Task


class Change(NamedTuple):
    """What the ledger is to note: `new` in the place of `old`. None is no row."""

    old: Task | None
    new: Task | None


@final
class Solitude:
    """Know which row is alone, and which one the ledger has as a suspect."""

    def __init__(self) -> None:
        self._under_way: Task | None = None
        self._wanted: Task | None = None
        self._noted: Task | None = None

    @property
    def is_on(self) -> bool:
        """Whether a row is under way alone."""
        return self._under_way is not None

    @property
    def is_near(self) -> bool:
        """Whether a row is, or is about to be."""
        return self.is_on or self._wanted is not None

    @property
    def change(self) -> Change | None:
        """What the ledger is to note before anything goes on; None for nothing."""
        if self.is_on or self._wanted is self._noted:
            return None
        return Change(self._noted, self._wanted)

    def may_go(self, task: Task, *, under_way: int) -> bool:
        """Whether a row may go alone now; it is under way then."""
        if self._noted is task:
            self._under_way = task
            return True
        if not under_way:
            self._wanted = task
        return False

    def may_others(self) -> bool:
        """Whether rows may go in company now: none of them is noted as a suspect."""
        self._wanted = None
        return self._noted is None

    def noted(self, task: Task | None) -> None:
        """Say that the ledger has this row as a suspect, or none."""
        self._noted = task
        if task is None or task.shard.is_lost:
            self._wanted = self._noted = None

    def ended(self, task: Task) -> bool:
        """Note that a row came back; return whether it was the one that was alone."""
        if self._under_way is not task:
            return False
        self._under_way = self._wanted = None
        return True

    def drop(self, shard: OpenShard) -> None:
        """Forget what is wanted of a shard."""
        if self._wanted is not None and self._wanted.shard is shard:
            self._wanted = None
