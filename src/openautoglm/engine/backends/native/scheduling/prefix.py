"""Beginnings that prompts share: found by looking, computed once, copied.

Owns `Prefixes`. Knows slots and the model's copy; knows nothing of sequences or why they share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from openautoglm.engine.backends.native.scheduling.faces import DecodingModel
    from openautoglm.engine.backends.native.scheduling.slots import Slots

MINIMUM: Final = 16
"""Tokens below which a shared beginning is not worth a copy."""


class Place(NamedTuple):
    """Where a prompt may go.

    Attributes:
        slot: a free one, -1 while it pays to wait.
        known: of how many tokens the keys and values are there then.
        leader: the slot that computes more of this beginning now, -1 if none.
        after: how many tokens `leader` must have computed to be worth the wait.
    """

    slot: int
    known: int = 0
    leader: int = -1
    after: int = 0


@final
class Prefixes:
    """Find the longest beginning that is in the cache already, and use it.

    Every slot's tokens are looked at, also of those in use and of those let go. A beginning that
    two prompts had in common is kept in a slot of its own, so that it outlives both; the one
    that was of use longest ago makes room.

    Args:
        slots: of the cache; `kept` of them are taken at once, to keep beginnings in.
        model: copies.
        kept: how many beginnings outlive the sequences that had them.
        minimum: tokens below which nothing is shared.
    """

    def __init__(
        self, slots: Slots, model: DecodingModel, *, kept: int, minimum: int = MINIMUM
    ) -> None:
        self._slots = slots
        self._model = model
        self._minimum = minimum
        self._kept = list(range(slots.count - kept, slots.count))  # longest unused first
        for slot in self._kept:
            slots.take(slot, (), known=0, reserve=0)
        self.copied = 0  # tokens

    def place(self, ids: Many[int], adapter: int = 0) -> Place:
        """Return where a prompt goes best; it does not go there yet."""
        slots = self._slots
        free = slots.free
        alike = slots.alike(ids, minimum=self._minimum, adapter=adapter)
        leader = int(alike.argmax())
        if not alike[leader]:
            return Place(free[0])
        ready = alike.clip(max=slots.known)
        source = int(ready.argmax())
        best = int(ready[source])
        if alike[leader] - best >= self._minimum:
            return Place(-1, leader=leader, after=int(alike[leader]))
        if best < self._minimum:
            return Place(free[0])
        slot = max(free, key=ready.__getitem__)
        if ready[slot] > best - self._minimum:
            return Place(slot, int(ready[slot]), leader=slot)
        return Place(free[0], best, leader=source)

    def enter(self, place: Place, ids: Many[int], *, reserve: int, adapter: int = 0) -> None:
        """Take the slot of a place for a prompt and bring the beginning there."""
        if place.known and place.leader != place.slot:
            self._copy(place.leader, place.slot, place.known)
        self._slots.take(place.slot, ids, known=place.known, reserve=reserve, adapter=adapter)
        if place.known >= self._minimum and place.known < len(ids) - 1:
            self._keep(place.slot, ids[: place.known])

    def is_coming(self, place: Place) -> bool:
        """Whether the leader of a place is still to compute what is waited for."""
        slots, slot = self._slots, place.leader
        return bool(slots.known[slot] < place.after <= slots.planned[slot])

    def _keep(self, source: int, ids: Many[int]) -> None:
        if not self._kept:
            return
        slots = self._slots
        for slot in self._kept:
            size = int(slots.known[slot])
            if slots.adapters[slot] != slots.adapters[source]:
                continue
            shared = min(size, len(ids))
            if shared and shared > len(ids) - self._minimum and self._begins(slot, ids, shared):
                self._kept.remove(slot)
                self._kept.append(slot)
                return
        slot = self._kept.pop(0)
        self._kept.append(slot)
        self._copy(source, slot, len(ids))
        slots.contents[slot, : len(ids)] = ids
        slots.known[slot] = len(ids)
        slots.adapters[slot] = slots.adapters[source]

    def _begins(self, slot: int, ids: Many[int], size: int) -> bool:
        return bool((self._slots.contents[slot, :size] == ids[:size]).all())

    def _copy(self, source: int, target: int, tokens: int) -> None:
        self._model.copy_prefix(source, target, tokens)
        self._slots.copied(target, tokens)
        self.copied += tokens
