"""Faults counted: which are under way, and which of those that were anybody met.

Owns `Tally`. Threads may share one.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from openautoglm.jobs.chaos.kinds import Kind


@final
class Tally:
    """Count faults.

    Attributes:
        met: by kind, faults that somebody met.
        unmet: by kind, those that nobody did.
        changes: how often a fault began or ended.
    """

    def __init__(self) -> None:
        self.met: Counter[str] = Counter()
        self.unmet: Counter[str] = Counter()
        self.changes = 0
        self._under_way: set[Kind] = set()
        self._lock = threading.Lock()

    @property
    def is_quiet(self) -> bool:
        """Whether no fault is under way."""
        return not self._under_way

    @property
    def count(self) -> int:
        """Faults that were met, or may still be."""
        return self.met.total() + len(self._under_way)

    def may_begin(self, kind: Kind) -> bool:
        """Whether none of this sort is under way: a disk fails in one way at a time."""
        return all(_sort(other) != _sort(kind) for other in tuple(self._under_way))

    def began(self, kind: Kind) -> None:
        """Note that one is under way."""
        with self._lock:
            self._under_way.add(kind)
            self.changes += 1

    def ended(self, kind: Kind, *, is_met: bool) -> None:
        """Note that one is over."""
        with self._lock:
            self._under_way.discard(kind)
            (self.met if is_met else self.unmet)[kind] += 1
            self.changes += 1


def _sort(kind: Kind) -> str:
    return "database" if kind == "busy" else kind.partition("-")[0]
