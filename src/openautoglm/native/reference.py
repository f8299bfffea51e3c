"""What travels in place of an array in shared memory, and the view that is made of it.

Owns `Reference` and what it may describe. Knows nothing of who owns the memory or how long a slot
lives.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import msgspec

from openautoglm.errors import SharedTensorError
from openautoglm.settings import need

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from openautoglm.native.segment import Segment

    Array: TypeAlias = npt.NDArray[Any]

_MAX_DIMENSIONS: Final = 32

DTYPES: Final = {
    name: name
    for name in (
        *("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"),
        *("<f2", "<f4", "<f8", "<c8", "<c16"),
    )
}
"""What arrays may hold: NumPy's names of dtypes. No objects, no text, no records."""

Token: TypeAlias = tuple[int, int, int]
"""Segment, slot and generation: what one process tells another when it let go of a view."""


@final
class Reference(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where an array is; valid as long as the generation is the slot's.

    Attributes:
        segment: number of the segment.
        slot: number in its table.
        generation: of the slot when the reference was made.
        offset: bytes from the slot's start to element 0.
        dtype: one of `DTYPES`.
        shape: elements by dimension.
        strides: bytes by dimension; None for C order.
    """

    segment: int
    slot: int
    generation: int
    offset: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None

    @property
    def token(self) -> Token:
        """What is told back when the view is gone."""
        return self.segment, self.slot, self.generation


class Root(weakref.ref["Array"]):
    """Notices when the last view of a slot is gone: each keeps the array of all its bytes."""

    __slots__ = ("key", "start", "token")
    token: Token
    start: int
    key: int


def whole_slot(segment: Segment, offset: int, nbytes: int) -> Array:
    """Return the bytes of a slot: what all views of it have as their base."""
    import numpy as np

    return np.frombuffer(segment.memory, np.uint8, nbytes, offset)


def view_of(whole: Array, reference: Reference) -> Array:
    """Return an array on the bytes of a slot; refuses what would reach beyond them."""
    import numpy as np

    dtype = DTYPES.get(reference.dtype)
    shape = reference.shape
    lowest = min(reference.offset, *shape) if shape else reference.offset
    if dtype is None or len(shape) > _MAX_DIMENSIONS or lowest < 0:  # NumPy lets offset be < 0
        raise SharedTensorError(
            "a reference describes no array", got=f"dtype {reference.dtype}, shape {shape}"
        )
    try:
        return np.ndarray(shape, dtype, whole, reference.offset, reference.strides)
    except (ValueError, TypeError, OverflowError) as cause:
        raise SharedTensorError(
            "a reference reaches beyond its slot", got=f"{reference}: {cause}"
        ) from cause


def stale(token: Token) -> SharedTensorError:
    """Return the error of a reference whose slot is another's by now."""
    return SharedTensorError(
        "a shared tensor is gone",
        got=f"segment {token[0]}, slot {token[1]}, generation {token[2]}",
        fix="keep the array as long as its reference, or copy it",
    )


def as_torch(array: Array) -> Any:  # noqa: ANN401 - a tensor of torch
    """Return a torch view of an array, nothing copied.

    torch has no tensors for reading only: writing into one that lies in memory handed over for
    reading ends the process.
    """
    torch = need("torch", extra="local", why="a torch tensor from another process")
    if array.flags.writeable:
        return torch.from_numpy(array)
    import numpy as np

    return torch.from_numpy(np.asarray(_Unguarded(array)))


class _Unguarded:
    """The memory of a read-only array without its flag, which torch warns of; keeps it alive."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self._array = array
