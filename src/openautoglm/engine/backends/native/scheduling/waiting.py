"""Rows that have no slot yet, in the order they shall get one.

Owns `Waiting`. Knows prompts and lengths; knows nothing of slots.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.scheduling.sequence import Row


@final
class Waiting:
    """Rows in line: first come first served, and, of those whose order is free, what is quickest.

    That is: prompts that begin alike together, so that their beginning is computed once, and of
    those the longest first, so that no long one is left to run alone at the end. Where both kinds
    wait they take turns, so that neither keeps the other waiting for long.

    Args:
        minimum: tokens that prompts have in common to begin alike.
    """

    def __init__(self, *, minimum: int) -> None:
        self._minimum = minimum
        self._line: deque[Row] = deque()
        self._all: list[_Entry] = []
        self._groups: dict[tuple[int, ...], list[_Entry]] = {}
        self._group: tuple[int, ...] = ()  # whose turn it is
        self._arrivals = 0
        self._is_frees_turn = False
        self._size = 0
        self._ended = 0  # of those, rows that ended before their turn

    def __len__(self) -> int:
        return self._size - self._ended

    def add(self, row: Row) -> None:
        """Put a row in line."""
        self._size += 1
        if not row.asked.is_free:
            self._line.append(row)
            return
        self._arrivals += 1
        key = (row.adapter, *row.ids[: self._minimum])
        entry = _Entry((-row.left, -len(row.ids), self._arrivals), key, row)
        heappush(self._all, entry)
        heappush(self._groups.setdefault(key, []), entry)

    def drop(self) -> None:
        """Note that one of the rows in line ended before its turn."""
        self._ended += 1

    def next(self) -> Row | None:
        """Take the row whose turn it is; None if there is none."""
        while self._size:
            self._size -= 1
            row = self._pop()
            if row.reason is None:
                return row
            self._ended -= 1
        return None

    def _pop(self) -> Row:
        self._is_frees_turn = not self._line or (self._is_frees_turn and bool(self._groups))
        if self._is_frees_turn:
            self._is_frees_turn = False
            return self._best()
        self._is_frees_turn = True
        return self._line.popleft()

    def _best(self) -> Row:
        while self._all[0].is_taken:
            heappop(self._all)
        if self._group not in self._groups:
            self._group = self._all[0].group
        group = self._groups[self._group]
        entry = heappop(group)
        if not group:
            del self._groups[self._group]
        entry.is_taken = True
        return entry.row


@dataclass(slots=True, eq=False)
class _Entry:
    """A row whose order is free: in the heap of all and in that of its group."""

    rank: tuple[int, int, int]
    group: tuple[int, ...]
    row: Row
    is_taken: bool = False

    def __lt__(self, other: _Entry) -> bool:
        return self.rank < other.rank
