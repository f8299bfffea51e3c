"""Another process's arena, seen from here: views of its slots, and which of them are gone.

Owns `Mappings`. Does not guard against a writer who changes values while this side reads them.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias, final

from openautoglm.errors import SharedTensorError
from openautoglm.native.reference import Reference, Root, stale, view_of, whole_slot
from openautoglm.native.segment import DATA, Segment

if TYPE_CHECKING:
    import numpy.typing as npt

    from openautoglm.native.reference import Token

    Array: TypeAlias = npt.NDArray[Any]


@final
class Mappings:
    """Another process's arena, mapped once and kept. Safe to use from several threads.

    Args:
        writable: whether this side may write it.
    """

    def __init__(self, *, writable: bool) -> None:
        self._writable = writable
        self._segments: dict[int, Segment] = {}
        self._roots: dict[int, Root] = {}
        self._gone: deque[Root] = deque()
        self._lock = threading.Lock()

    def __contains__(self, number: int) -> bool:
        return number in self._segments

    def adopt(self, descriptor: int, number: int) -> None:
        """Map a segment; the descriptor is closed."""
        self.keep(Segment.adopt(descriptor, number, writable=self._writable))

    def keep(self, segment: Segment) -> None:
        """Use a segment that is mapped already."""
        self._segments[segment.number] = segment

    def forget(self, number: int) -> None:
        """Let go of a segment that its owner let go of; arrays on it keep it for themselves."""
        self._segments.pop(number, None)

    def view(self, reference: Reference) -> Array:
        """Return the array of a reference.

        Raises:
            SharedTensorError: it is stale, forged, or of memory that was not handed over.
        """
        segment = self._segments.get(reference.segment)
        if segment is None:
            raise stale(reference.token)
        generation, offset, nbytes = segment.slot(reference.slot)
        if generation != reference.generation or not generation % 2:
            raise stale(reference.token)
        if offset < DATA or offset + nbytes > segment.size:
            raise SharedTensorError("a slot is not inside its segment", got=f"{reference}")
        whole = whole_slot(segment, offset, nbytes)
        array = view_of(whole, reference)
        root = Root(whole, self._gone.append)
        root.token, root.start = reference.token, segment.address + offset
        root.key = id(whole)
        with self._lock:
            self._roots[root.key] = root
        return array

    def reference(self, array: Array) -> Reference | None:
        """Return where an array is, or None where it is no view of this memory."""
        if array.base is None or not self._roots:
            return None
        interface = array.__array_interface__
        address = interface["data"][0]
        root = self._roots.get(id(array.base)) or self._around(address)
        whole = None if root is None else root()
        if root is None or whole is None or not 0 <= address - root.start <= whole.nbytes:
            return None
        offset, strides = address - root.start, interface["strides"]
        return Reference(*root.token, offset, interface["typestr"], array.shape, strides)

    def released(self) -> list[Token]:
        """Return a token for each view that is gone since the last time."""
        tokens = []
        with self._lock:  # heartbeats ask too, beside the calls
            while self._gone:
                root = self._gone.popleft()
                if self._roots.get(root.key) is root:
                    del self._roots[root.key]
                tokens.append(root.token)
        return tokens

    def _around(self, address: int) -> Root | None:
        """Find the slot that holds an address: tensors of other libraries hide their base."""
        for root in list(self._roots.values()):
            whole = root()
            if whole is not None and root.start <= address < root.start + whole.nbytes:
                return root
        return None
