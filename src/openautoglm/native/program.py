"""A list of operator calls that is played again and again without Python between them.

Owns `Program` and `Rows`. Knows cells and arrays; knows nothing of what an operator means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from openautoglm.errors import OperatorArgumentError
from openautoglm.native.cells import core_function

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

DLPACK_CODES: Final = {"i": 0, "u": 1, "f": 2, "b": 6}
BFLOAT_CODE: Final = 4
BFLOAT_BYTES: Final = 2
FIXED: Final = -1
MOST_DIMENSIONS: Final = 8
"""Of an array that a program takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """An array of a call, of which some rows are meant.

    Attributes:
        array: the whole of it; stays where it is as long as the program lives.
        count: which number of a play counts the rows; `FIXED` for all, or all that follow `first`.
        first: which number of a play is the first row; `FIXED` for 0.
        is_bf16: its 16-bit values are bf16, which NumPy has no name for.
    """

    array: Array
    count: int = FIXED
    first: int = FIXED
    is_bf16: bool = False

    def of(self, numbers: Sequence[int]) -> Array:
        """Return the rows that a play means."""
        first = 0 if self.first == FIXED else numbers[self.first]
        rows: Array = self.array[first:]
        return rows if self.count == FIXED else rows[: numbers[self.count]]

    @property
    def stated(self) -> list[int]:
        """Address, code, bits, count, first, rank, sizes and strides (in elements).

        Raises:
            OperatorArgumentError: no kernel could read the array.
        """
        array, dtype = self.array, self.array.dtype
        is_known = array.itemsize == BFLOAT_BYTES if self.is_bf16 else dtype.kind in DLPACK_CODES
        if not is_known or not dtype.isnative:
            raise OperatorArgumentError(
                "an array of a program holds numbers that kernels know",
                got=f"bf16 in {dtype}" if self.is_bf16 else f"{dtype}",
                fix="cast it to bool, integers or floats in this machine's byte order",
            )
        if not 1 <= array.ndim <= MOST_DIMENSIONS:
            raise OperatorArgumentError(
                "an array of a program has a dimension of rows, and few others",
                got=f"{array.ndim} dimensions",
                fix=f"reshape it to 1 to {MOST_DIMENSIONS}",
            )
        if any(stride % array.itemsize for stride in array.strides):
            raise OperatorArgumentError(
                "the elements of an array of a program lie whole elements apart",
                got=f"strides {array.strides} of {array.itemsize} bytes an element",
                fix="pass a copy of it",
            )
        return [
            *(array.ctypes.data, BFLOAT_CODE if self.is_bf16 else DLPACK_CODES[dtype.kind]),
            *(array.itemsize * 8, self.count, self.first, array.ndim),
            *(*array.shape, *(stride // array.itemsize for stride in array.strides)),
        ]


Operand: TypeAlias = "Rows | float | bool | str | None"


@final
class Program:
    """Calls in order; each goes through the table of its operator, whatever serves there by then.

    One play at a time.
    """

    def __init__(self) -> None:
        functions = core_function("program_new")()
        self._call, self._copy, self._play, self._times = functions
        self._kept: list[object] = []

    def call(self, cell: int, operands: Sequence[Operand]) -> None:
        """Add a call: inputs, attributes and outputs as the operator's door takes them.

        Raises:
            OperatorArgumentError: no kernel could read one of the arrays.
            TypeError: the operator takes another number of arguments.
            ValueError: a count or a first row is none of the 16 numbers of a play.
        """
        self._kept.append(operands)
        self._call(cell, [o.stated if isinstance(o, Rows) else o for o in operands])

    def copy_rows(
        self, source: Rows, slots: Rows, positions: Rows, target: Rows, *, is_blocked: bool
    ) -> None:
        """Add a copy of rows into a cache.

        Row n of `source`, (heads, width), goes to slot `slots[n]`, position `positions[n]` of
        `target`: (slots, heads, blocks, 16, width), or, blocked, (slots, heads, blocks, width, 16).
        A row whose place lies outside is left out.

        Raises:
            OperatorArgumentError, ValueError: the arrays are not of these shapes, f32 and int64
                (a target may be bf16, to which values are rounded), with a last dimension that lies
                side by side.
        """
        self._kept.append((source, slots, positions, target))
        parts = (source, slots, positions, target)
        self._copy(*(part.stated for part in parts), is_blocked)

    def play(
        self, numbers: Sequence[int], *, at: int = 0, threads: int = 1, timed: bool = False
    ) -> int:
        """Play from a call on; return the one that only Python can make, or their count.

        Raises:
            RuntimeError: a kernel failed.
            ValueError: the numbers mean rows that an array does not have.
        """
        return int(self._play(at, threads, timed, *numbers))

    def times(self) -> list[tuple[int, int]]:
        """Return how often each call was made while timed, and the nanoseconds it took in all."""
        flat = list(self._times())
        return list(zip(flat[::2], flat[1::2], strict=True))
