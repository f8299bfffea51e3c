"""A list of operator calls that is played again and again without Python between them.

Owns `Program` and `Rows`. Knows cells and arrays; knows nothing of what an operator means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, final

from openautoglm.native.cells import core_function

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

DLPACK_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
BFLOAT_CODE = 4
FIXED = -1


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """An array of a call, of which some rows are meant.

    Attributes:
        array: the whole of it; stays where it is as long as the program lives.
        count: which number of a play counts the rows; `FIXED` for all.
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
        rows: Array = (
            self.array if self.count == FIXED else self.array[first:][: numbers[self.count]]
        )
        return rows

    @property
    def stated(self) -> list[int]:
        """Address, code, bits, count, first, rank, sizes and strides (in elements)."""
        array = self.array
        code = BFLOAT_CODE if self.is_bf16 else DLPACK_CODES[array.dtype.kind]
        strides = [stride // array.itemsize for stride in array.strides]
        return [
            *(array.ctypes.data, code, array.itemsize * 8),
            *(self.count, self.first, array.ndim),
            *(*array.shape, *strides),
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
        """Add a call: inputs, attributes and outputs as the operator's door takes them."""
        self._kept.append(operands)
        self._call(cell, [o.stated if isinstance(o, Rows) else o for o in operands])

    def copy_rows(
        self, source: Rows, slots: Rows, positions: Rows, target: Rows, *, is_blocked: bool
    ) -> None:
        """Add a copy of rows into a cache.

        Row n of `source`, (heads, width), goes to slot `slots[n]`, position `positions[n]` of
        `target`: (slots, heads, blocks, 16, width), or, blocked, (slots, heads, blocks, width, 16).
        A row whose place lies outside is left out.
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
        """
        return int(self._play(at, threads, timed, *numbers))

    def times(self) -> list[tuple[int, int]]:
        """Return how often each call was made while timed, and the nanoseconds it took in all."""
        flat = list(self._times())
        return list(zip(flat[::2], flat[1::2], strict=True))
