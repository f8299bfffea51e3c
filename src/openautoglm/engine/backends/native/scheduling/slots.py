"""The places of the cache: who has them, and which tokens' keys and values lie there.

Owns `Slots`. Knows no sequences and no model: rows of tokens, and how many of them are computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence as Many

    from openautoglm.engine.backends.native.scheduling.faces import Integers


@final
class Slots:
    """Slots that are taken and let go in any order; nothing ever moves.

    A slot that was let go keeps its keys and values until it is taken again, so that a sequence
    that begins alike need not compute them, until their memory is wanted.

    Args:
        count: how many.
        context: positions of each.
        most_tokens: tokens that all of them may have memory for; None for all there are.

    Attributes:
        contents: tokens of each slot, (slots, context); memory that is not written costs nothing.
        adapters: the adapter under which they were read, by slot; 0 for none.
        known: how many of them have keys and values, by slot.
        filled: for how many tokens it has memory, by slot.
        planned: how many tokens were there when the slot was taken, by slot; 0 once let go.
    """

    def __init__(self, count: int, context: int, *, most_tokens: int | None = None) -> None:
        self.count = count
        self.context = context
        self.most_tokens = count * context if most_tokens is None else most_tokens
        self.contents = np.zeros((count, context), np.int32)
        self.adapters = np.zeros(count, np.int64)
        self.known = np.zeros(count, np.int64)
        self.filled = np.zeros(count, np.int64)
        self.planned = np.zeros(count, np.int64)
        self._reserved = [0] * count
        self._used = [0] * count  # when the slot was last of use, in uses
        self._uses = 0
        self._free = list(range(count))
        self.tokens = 0  # that slots which are taken have, or may need, memory for

    @property
    def free(self) -> Many[int]:
        """Slots nobody has, the one that was last of use longest ago first."""
        self._free.sort(key=self._used.__getitem__)
        return self._free

    def has_room(self, tokens: int) -> bool:
        """Whether so many more tokens may be reserved."""
        return bool(self._free) and self.tokens + tokens <= self.most_tokens

    def shed(self, tokens: int) -> Iterator[int]:
        """Yield free slots whose memory must go before so many more tokens are reserved.

        The one that was last of use longest ago goes first; what it held is forgotten.
        """
        excess = self.tokens + tokens - self.most_tokens
        excess += sum(int(self.filled[slot]) for slot in self._free)
        for slot in self.free:
            if excess <= 0:
                return
            if self.filled[slot]:
                excess -= int(self.filled[slot])
                self.filled[slot] = self.known[slot] = 0
                yield slot

    def copied(self, slot: int, tokens: int) -> None:
        """Note that the keys and values of so many tokens were copied to a slot."""
        self.filled[slot] = max(int(self.filled[slot]), tokens)

    def take(
        self, slot: int, ids: Many[int], *, known: int, reserve: int, adapter: int = 0
    ) -> None:
        """Take a slot for tokens, of which the first `known` have their keys and values there."""
        self._free.remove(slot)
        self.adapters[slot] = adapter
        self.contents[slot, : len(ids)] = ids
        self.known[slot] = known
        self.planned[slot] = len(ids)
        self._reserved[slot] = max(reserve, int(self.filled[slot]))
        self.tokens += self._reserved[slot]
        self.touch(slot)

    def record(self, tokens: Integers, slots: Integers, positions: Integers) -> None:
        """Note that keys and values of tokens were stored; positions of a slot ascend."""
        self.contents[slots, positions] = tokens
        self.known[slots] = ends = positions + 1
        self.filled[slots] = np.maximum(self.filled[slots], ends)

    def let_go(self, slot: int) -> None:
        """Give a slot back."""
        self.tokens -= self._reserved[slot]
        self._reserved[slot] = 0
        self.planned[slot] = 0
        self._free.append(slot)
        self.touch(slot)

    def touch(self, slot: int) -> None:
        """Note that a slot was of use."""
        self._uses += 1
        self._used[slot] = self._uses

    def alike(self, ids: Many[int], *, minimum: int, adapter: int = 0) -> Integers:
        """Return how many tokens each slot begins with that `ids` begins with, 0 below `minimum`.

        Those of another adapter have other keys and values, so none of them is alike.
        Tokens that are there or were planned count; the last of `ids` does not, it is computed.
        """
        alike = np.zeros(self.count, np.int64)
        size = len(ids) - 1
        if size < minimum:
            return alike
        wanted = np.asarray(ids[:size], np.int32)
        begins = (self.contents[:, :minimum] == wanted[:minimum]).all(1)
        begins &= self.adapters == adapter
        for slot in np.flatnonzero(begins):
            differs = self.contents[slot, :size] != wanted
            first = int(differs.argmax())
            alike[slot] = first if differs[first] else size
        alike = np.minimum(alike, np.maximum(self.known, self.planned))
        alike[alike < minimum] = 0
        return alike
