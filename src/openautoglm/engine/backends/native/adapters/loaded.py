"""The adapters of a model, stacked so that rows of many go through one call.

Owns `Stack`, `Resident` and `Bank`. Knows pairs of matrices; knows nothing of files or steps.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from openautoglm.engine.memory import check_fits, free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from openautoglm.engine.backends.native.adapters.weights import Module, Pair

    Array = np.ndarray[Any, np.dtype[Any]]
    Numbers = np.ndarray[Any, np.dtype[np.int64]]

FLOAT: Final = 4  # bytes
NONE: Final = -1
"""The index of a row without an adapter."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """What all adapters add to one module.

    Attributes:
        begin: its first output in the packed matrix.
        a: (adapters, greatest rank, depth), f32.
        b: (adapters, greatest rank, outputs), f32.
        rank: of each adapter, int64; 0 where it leaves the module as it is.
    """

    begin: int
    a: Array
    b: Array
    rank: Array


@final
class Resident:
    """An adapter whose weights are there for as long as somebody holds this.

    Attributes:
        number: its own among all adapters.
        index: where it lies in the stacks.
    """

    def __init__(self, number: int, index: int) -> None:
        self.number = number
        self.index = index


@final
class Bank:
    """Adapters that come and go while steps are computed.

    The stacks are never changed where a step may look: an adapter goes to an index that no row has,
    or into larger stacks beside the old ones. It is there for as long as its `Resident` is held.
    May be used from any thread.

    Args:
        changed: called when there are other stacks, with the new ones by packed matrix.
    """

    def __init__(self, changed: Callable[[Mapping[str, Sequence[Stack]]], None]) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._stacks: dict[Module, Stack] = {}
        self._room = 0  # indexes of the stacks
        self._held: weakref.WeakValueDictionary[int, Resident] = weakref.WeakValueDictionary()
        self._taken: set[int] = set()  # indexes
        self._ended: list[int] = []  # indexes; a list, since the collector may add to it anywhere

    @property
    def nbytes(self) -> int:
        """Memory of the stacks."""
        return sum(stack.a.nbytes + stack.b.nbytes for stack in self._stacks.values())

    def find(self, number: int) -> Resident | None:
        """Return an adapter that is there."""
        return self._held.get(number)

    def indexes(self, numbers: Numbers) -> Numbers:
        """Return where adapters lie, -1 for number 0."""
        known = {number: self._held[number].index for number in set(numbers.tolist()) if number}
        return np.array([known.get(number, NONE) for number in numbers.tolist()], np.int64)

    def load(self, number: int, pairs: Iterable[Pair]) -> Resident:
        """Take an adapter in.

        Raises:
            ModelTooLargeError: there is no memory for it.
        """
        with self._lock:
            self._tidy()
            resident = self._held.get(number)
            if resident is not None:
                return resident
            listed = list(pairs)
            index = next(i for i in range(len(self._taken) + 1) if i not in self._taken)
            self._make_room(index, listed)
            for pair in listed:
                _put(self._stacks[pair.module], index, pair)
            self._taken.add(index)
            resident = self._held[number] = Resident(number, index)
            weakref.finalize(resident, self._ended.append, index).atexit = False
            return resident

    def tidy(self) -> None:
        """Give back the memory of adapters, where none is held any more.

        Does nothing while another thread loads one: it tidies itself.
        """
        if self._ended and self._lock.acquire(blocking=False):
            try:
                self._tidy()
            finally:
                self._lock.release()

    def _tidy(self) -> None:
        while self._ended:
            index = self._ended.pop()
            self._taken.remove(index)
            for stack in self._stacks.values():
                stack.rank[index] = 0
        if self._stacks and not self._taken:
            self._stacks, self._room = {}, 0
            self._changed({})

    def _make_room(self, index: int, pairs: Sequence[Pair]) -> None:
        """Have stacks with that index, for the ranks of all pairs."""
        room = self._room if index < self._room else max(2 * self._room, 1)
        ranks = {module: stack.a.shape[1] for module, stack in self._stacks.items()}
        for pair in pairs:
            ranks[pair.module] = max(ranks.get(pair.module, 0), pair.rank)
        new = {
            module: (room, rank)
            for module, rank in ranks.items()
            if module not in self._stacks or self._stacks[module].a.shape[:2] != (room, rank)
        }
        if not new:
            return
        each = (shape[0] * shape[1] * (m.depth + m.rows) for m, shape in new.items())
        check_fits(
            FLOAT * sum(each),
            free_bytes(),
            what=f"an adapter more beside {len(self._taken)}",
            fix="unload others, use one of a lower rank, or free memory",
        )
        stacks = self._stacks | {
            m: _grown(self._stacks.get(m), m, shape) for m, shape in new.items()
        }
        self._stacks, self._room = stacks, room
        self._changed(by_linear(stacks))


def by_linear(stacks: Mapping[Module, Stack]) -> dict[str, list[Stack]]:
    """Return stacks by the packed matrix that they add to."""
    found: dict[str, list[Stack]] = {}
    for module, stack in stacks.items():
        found.setdefault(module.linear, []).append(stack)
    return found


def _grown(old: Stack | None, module: Module, shape: tuple[int, int]) -> Stack:
    room, rank = shape
    a = np.zeros((room, rank, module.depth), np.float32)
    b = np.zeros((room, rank, module.rows), np.float32)
    ranks = np.zeros(room, np.int64)
    if old is not None:
        held, most = old.a.shape[:2]
        a[:held, :most], b[:held, :most], ranks[:held] = old.a, old.b, old.rank
    return Stack(module.begin, a, b, ranks)


def _put(stack: Stack, index: int, pair: Pair) -> None:
    stack.a[index, : pair.rank], stack.b[index, : pair.rank] = pair.a, pair.b
    stack.rank[index] = pair.rank
