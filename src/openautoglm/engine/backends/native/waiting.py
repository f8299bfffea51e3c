"""Rows that have no slot yet, in the order they shall get one.

Owns `Waiting`. Knows prompts and lengths; knows nothing of slots.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Literal, TypeAlias, final

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.sequence import Row

Order: TypeAlias = Literal["arrival", "free"]


@final
class Waiting:
    """A queue of rows: first come first served, or, where order is free, what is quickest in all.

    That is: prompts that begin alike together, so that their beginning is computed once, and of
    those the longest first, so that no long one is left to run alone at the end.
    """

    def __init__(self, order: Order, *, minimum: int) -> None:
        self._minimum = minimum
        self._is_free = order == "free"
        self._line: deque[Row] = deque()
        self._all: list[_Entry] = []
        self._groups: dict[tuple[int, ...], list[_Entry]] = {}
        self._group: tuple[int, ...] = ()  # whose turn it is
        self._arrivals = 0
        self._size = 0
        self._ended = 0  # of those, rows that ended before their turn

    def __len__(self) -> int:
        return self._size - self._ended

    def add(self, row: Row) -> None:
        """Put a row in line."""
        self._size += 1
        if not self._is_free:
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
        if not self._is_free:
            return self._line.popleft()
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
    """A row in line: in the heap of all and in that of its group."""

    rank: tuple[int, int, int]
    group: tuple[int, ...]
    row: Row
    is_taken: bool = False

    def __lt__(self, other: _Entry) -> bool:
        return self.rank < other.rank
