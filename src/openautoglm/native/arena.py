"""Tensors in memory that two processes see: allocated, referred to, viewed, given back.

Owns `Arena`, whose slots are handed out here; `mappings` has the other side. Arrays are views of
the memory, nothing is copied; a slot is free again when the last view of it is gone here and over
there. A slot that is taken again has another generation, so that a reference kept too long is an
error and not a wrong answer.
Memory that nobody uses for a while goes back to the system (`shrink`), wherever its owner looks.
Does not guard against a writer who changes values while the other side reads them.
"""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from openautoglm.errors import SharedTensorError
from openautoglm.native.extents import Extents
from openautoglm.native.reference import DTYPES, Reference, Root, stale, view_of, whole_slot
from openautoglm.native.segment import DATA, SLOTS, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from openautoglm.native.reference import Token

    Array: TypeAlias = npt.NDArray[Any]

MIB: Final = 1 << 20
LIMIT_BYTES: Final = 1024 * MIB
_LARGEST_STEP: Final = 32 * MIB  # an arena doubles until it grows by this
_OWN_PART: Final = 8  # of a larger segment an array takes at least this part: else both stay

Grow: TypeAlias = Callable[[int, int], Segment]
"""Brings a segment of a number with so many bytes, table included."""


@final
class _Slot:
    """A slot in use: where it is, who still looks at it."""

    __slots__ = ("generation", "nbytes", "number", "offset", "pins", "root", "segment")

    def __init__(self, segment: _Owned, number: int, generation: int) -> None:
        self.segment = segment
        self.number = number
        self.generation = generation
        self.offset = 0
        self.nbytes = 0
        self.pins = 0
        self.root: Root | None = None

    @property
    def token(self) -> Token:
        return self.segment.segment.number, self.number, self.generation


@final
class _Owned:
    """A segment with what is free in it and the slots in use."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.extents = Extents(DATA, segment.size)
        self.unused = list(range(SLOTS - 1, -1, -1))
        self.generations = [0] * SLOTS
        self.slots: dict[int, _Slot] = {}
        self.starts: list[tuple[int, int]] = []  # offset and slot, sorted
        self.changes = 0
        self._seen, self._since = -1, 0.0
        self._given_back = 0  # changes when what was free went back to the system

    def suits(self, nbytes: int) -> bool:
        """Whether an array that long may keep this segment from being given back."""
        return self.segment.size <= _LARGEST_STEP or nbytes * _OWN_PART >= self.segment.size

    def rests(self, now: float, rest_s: float) -> bool:
        """Whether nothing was taken or given for so long; looks at it now."""
        if self.changes != self._seen:
            self._seen, self._since = self.changes, now
        return now - self._since >= rest_s

    def give_back(self) -> None:
        """Let the system have the memory of what is free, once after a change."""
        if self._given_back != self.changes:
            self._given_back = self.changes
            for offset, nbytes in self.extents.pieces:
                self.segment.release(offset, nbytes)

    def take(self, nbytes: int) -> _Slot | None:
        if not self.unused:
            return None
        offset = self.extents.take(nbytes)
        if offset is None:
            return None
        number = self.unused.pop()
        self.changes += 1
        self.generations[number] += 1
        slot = _Slot(self, number, self.generations[number])
        slot.offset, slot.nbytes = offset, nbytes
        self.slots[number] = slot
        insort(self.starts, (offset, number))
        self.segment.write_slot(number, slot.generation, offset, nbytes)
        return slot

    def give(self, slot: _Slot) -> None:
        self.changes += 1
        self.generations[slot.number] += 1
        self.segment.write_slot(slot.number, self.generations[slot.number], 0, 0)
        del self.slots[slot.number]
        self.starts.remove((slot.offset, slot.number))
        self.unused.append(slot.number)
        self.extents.give(slot.offset, slot.nbytes)

    def at(self, offset: int) -> _Slot | None:
        """Return the slot that holds a byte."""
        where = bisect_right(self.starts, (offset, SLOTS)) - 1
        if where < 0:
            return None
        slot = self.slots[self.starts[where][1]]
        return slot if offset < slot.offset + max(1, slot.nbytes) else None


@final
class Arena:
    """Memory for arrays that another process will see. Safe to use from several threads.

    Args:
        grow: brings more memory; see `Grow`. `lend` is the usual one in a host.
        limit_bytes: never more than this.

    Example:
        >>> import os
        >>> from openautoglm.native.mappings import Mappings
        >>> arena = Arena(lend)
        >>> x = arena.empty((2, 3), "<f4")
        >>> x[:] = 1
        >>> there = Mappings(writable=False)
        >>> for segment in arena.segments:
        ...     there.adopt(os.dup(segment.handle), segment.number)
        >>> there.view(arena.reference(x)).sum()
        np.float32(6.0)
    """

    def __init__(self, grow: Grow, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._grow = grow
        self._limit = limit_bytes
        self._owned: dict[int, _Owned] = {}
        self._next_number = 0
        self._by_address: list[tuple[int, _Owned]] = []
        self._gone: deque[Root] = deque()
        self._lock = threading.RLock()

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All memory there is, by number; a number is never used again."""
        return tuple(owned.segment for owned in tuple(self._owned.values()))

    def segment(self, number: int) -> Segment:
        """Return the segment of an array that is held."""
        return self._owned[number].segment

    @property
    def held_bytes(self) -> int:
        """Bytes of all segments, in use or not."""
        return sum(segment.size for segment in self.segments)

    @property
    def live(self) -> int:
        """Slots in use, here or over there."""
        with self._lock:
            self._collect()
            return sum(len(owned.slots) for owned in self._owned.values())

    def empty(self, shape: int | Sequence[int], dtype: npt.DTypeLike = "<f4") -> Array:
        """Return a new array in this memory; what it holds is not said.

        Raises:
            SharedTensorError: a dtype that cannot be shared, or no room.
        """
        import numpy as np

        name = np.dtype(dtype).str
        dimensions = (shape,) if isinstance(shape, int) else tuple(shape)
        self.check_dtype(name)
        nbytes = prod(dimensions) * np.dtype(name).itemsize
        with self._lock:
            slot = self._take(nbytes)
            token = slot.token
            return self._look(slot, Reference(*token, 0, name, dimensions))

    def copy(self, array: Array) -> Array:
        """Return a copy of an array in this memory, in C order."""
        made = self.empty(array.shape, array.dtype)
        made[...] = array
        return made

    def put(self, data: bytes | memoryview) -> Array:
        """Return bytes as an array of `|u1` in this memory."""
        made = self.empty(len(data), "|u1")
        made.data[:] = data
        return made

    def reference(self, array: Array) -> Reference | None:
        """Return where an array is, or None where it is not in this memory."""
        interface = array.__array_interface__
        address = interface["data"][0]
        with self._lock:
            where = bisect_right(self._by_address, address, key=lambda each: each[0]) - 1
            if where < 0:
                return None
            owned = self._by_address[where][1]
            slot = owned.at(address - owned.segment.address)
            if slot is None:
                return None
            offset = address - owned.segment.address - slot.offset
            strides = interface["strides"]
            return Reference(*slot.token, offset, interface["typestr"], array.shape, strides)

    def view(self, reference: Reference) -> Array:
        """Return the array of a reference that came back.

        Raises:
            SharedTensorError: the slot was given back since, or never was.
        """
        with self._lock:
            return self._look(self._slot(reference.token), reference)

    def pin(self, token: Token) -> None:
        """Keep a slot while another process has a reference to it; each one is told back."""
        with self._lock:
            self._slot(token).pins += 1

    def unpin(self, tokens: Iterable[Token]) -> None:
        """Let go of what `pin` kept; what is not pinned is not looked at."""
        with self._lock:
            for token in tokens:
                slot = self._find(token)
                if slot is not None and slot.pins:
                    slot.pins -= 1
                    self._settle(slot)

    def shrink(self, now: float, rest_s: float) -> None:
        """Give back memory that nothing was taken from or given to for `rest_s` seconds.

        A segment that was made here goes as a whole when nothing in it is in use; of memory that
        the other process made, the pages of what is free.

        Args:
            now: of `time.monotonic`; a segment rests from the first look after its last use.
            rest_s: seconds.
        """
        with self._lock:
            self._collect()
            for owned in [o for o in self._owned.values() if o.rests(now, rest_s)]:
                if not owned.segment.is_made_here:
                    owned.give_back()
                elif not owned.slots:
                    self._drop(owned)

    def unless_busy(self, then: Callable[[], None]) -> bool:
        """Do something that needs no other thread to be at this arena; return whether it was done.

        A thread that grows it may wait for the very thread that calls this.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            then()
        finally:
            self._lock.release()
        return True

    def leave(self) -> None:
        """Have no memory any more, in a process that was forked: it is the parent's.

        Arrays that are held stay readable; new ones are refused.
        """
        self._lock = threading.RLock()  # its holder is not here
        self._owned, self._by_address = {}, []
        self._gone.clear()
        self._grow = _refuse_to_grow

    @staticmethod
    def check_dtype(name: str) -> None:
        """Raise where arrays of a dtype cannot be shared."""
        if name not in DTYPES:
            raise SharedTensorError(
                f"arrays of dtype {name} cannot be shared",
                fix="cast it to a number of a fixed size, or pass a list",
            )

    def _take(self, nbytes: int) -> _Slot:
        self._collect()
        for owned in self._owned.values():
            slot = owned.take(nbytes) if owned.suits(nbytes) else None
            if slot is not None:
                return slot
        return self._added(nbytes)

    def _added(self, nbytes: int) -> _Slot:
        wanted = -(-(nbytes + DATA + 64) // MIB) * MIB
        if self.held_bytes + wanted > self._limit:
            for owned in self._owned.values():
                slot = owned.take(nbytes)
                if slot is not None:
                    return slot
            self._drop_unused()
        held = self.held_bytes
        size = max(wanted, min(held, _LARGEST_STEP, self._limit - held))
        if held + size > self._limit:
            raise SharedTensorError(
                f"no room for {nbytes} bytes in shared memory",
                got=f"{held} of {self._limit} bytes are taken",
                fix="let go of arrays from earlier calls, or raise the limit",
            )
        number = self._next_number
        owned = _Owned(self._grow(number, size))  # a number that brought nothing is asked for again
        self._owned[number], self._next_number = owned, number + 1
        insort(self._by_address, (owned.segment.address, owned), key=lambda each: each[0])
        slot = owned.take(nbytes)
        assert slot is not None  # noqa: S101 - a new segment has room for what it was made for
        return slot

    def _drop_unused(self) -> None:
        for owned in [o for o in self._owned.values() if o.segment.is_made_here and not o.slots]:
            self._drop(owned)

    def _drop(self, owned: _Owned) -> None:
        """Let go of a segment; its memory is free when the other process let go too."""
        del self._owned[owned.segment.number]
        self._by_address.remove((owned.segment.address, owned))
        owned.segment.close_handle()

    def _look(self, slot: _Slot, reference: Reference) -> Array:
        whole = slot.root() if slot.root is not None else None
        if whole is not None:
            return view_of(whole, reference)
        whole = whole_slot(slot.segment.segment, slot.offset, slot.nbytes)
        slot.root = Root(whole, self._gone.append)
        slot.root.token = slot.token
        return view_of(whole, reference)

    def _find(self, token: Token) -> _Slot | None:
        number, index, generation = token
        owned = self._owned.get(number)
        slot = None if owned is None else owned.slots.get(index)
        return slot if slot is not None and slot.generation == generation else None

    def _slot(self, token: Token) -> _Slot:
        self._collect()
        slot = self._find(token)
        if slot is None:
            raise stale(token)
        return slot

    def _collect(self) -> None:
        while self._gone:
            slot = self._find(self._gone.popleft().token)
            if slot is not None:
                self._settle(slot)

    def _settle(self, slot: _Slot) -> None:
        if not slot.pins and (slot.root is None or slot.root() is None):
            slot.segment.give(slot)


def lend(number: int, size: int) -> Segment:
    """Make memory that the other process can only read."""
    return Segment.create(number, size, peer_writes=False)


def lend_for_writing(number: int, size: int) -> Segment:
    """Make memory that the other process may write."""
    return Segment.create(number, size, peer_writes=True)


def _refuse_to_grow(number: int, size: int) -> Segment:
    del number
    raise SharedTensorError(
        f"no {size} bytes to share: this process was forked from the one that has the memory",
        fix="start the plugin in this process too, or use an array of NumPy",
    )
