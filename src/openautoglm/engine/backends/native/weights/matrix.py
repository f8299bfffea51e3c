"""A weight matrix made of stored ones: rows fused, reordered and widened a piece at a time.

Owns `Matrix` and the order that brings a head's pairs half a head apart. Knows nothing of files or
packing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from openautoglm.engine.backends.native.weights.files import widened
from openautoglm.errors import WeightsCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.engine.backends.native.families.architecture import Architecture
    from openautoglm.engine.backends.native.weights.files import Stored

    Array = np.ndarray[Any, np.dtype[Any]]

PIECE_VALUES: Final = 1 << 22
"""Values that are in f32 at a time."""
_BLOCK: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of a matrix from one stored weight.

    Attributes:
        name: of the weight, for messages.
        stored: its values.
        order: which of its rows each row is; None for all as they are.
    """

    name: str
    stored: Stored
    order: Array | None = None

    def rows(self, begin: int, end: int) -> Array:
        """Return rows as f32.

        Raises:
            WeightsCorruptError: some are NaN or infinite.
        """
        at = slice(begin, end) if self.order is None else self.order[begin:end]
        values = widened(self.stored.array[at], is_bf16=self.stored.is_bf16)
        with np.errstate(all="ignore"):
            is_sure = bool(np.isfinite(values.sum()))  # one pass, nothing written
        if not is_sure and not np.isfinite(values).all():
            bad = int(np.count_nonzero(~np.isfinite(values)))
            raise not_finite(self.name, bad)
        return values


@final
class Matrix:
    """Parts below each other, (rows, depth), or one column of them."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def pieces(self) -> Iterator[tuple[int, Array]]:
        """Yield the first row and the rows of each piece, whole blocks but for the last."""
        first = self._parts[0].stored.array
        depth = first.shape[1] if first.ndim > 1 else 1
        step = max(PIECE_VALUES // max(depth, 1) // _BLOCK, 1) * _BLOCK
        rows = sum(part.stored.array.shape[0] for part in self._parts)
        for begin in range(0, rows, step):
            yield begin, self._between(begin, min(begin + step, rows))

    def whole(self) -> Array:
        """Return all rows as f32."""
        return np.concatenate([rows for _, rows in self.pieces()])

    def _between(self, begin: int, end: int) -> Array:
        found, start = [], 0
        for part in self._parts:
            stop = start + part.stored.array.shape[0]
            low, high = max(begin, start), min(end, stop)
            if low < high:
                found.append(part.rows(low - start, high - start))
            start = stop
        return found[0] if len(found) == 1 else np.concatenate(found)


def not_finite(name: str, count: int) -> WeightsCorruptError:
    """Return the error of a weight that holds so many values that are NaN or infinite."""
    return WeightsCorruptError(
        "the weights hold values that are not finite",
        got=f"{name}: {count} are NaN or infinite",
        fix="download or copy the weights again, or train with a smaller step",
    )


def pair_order(architecture: Architecture) -> Array | None:
    """Return which of a head's values each is once its pairs lie half a head apart; None for all.

    What turns fills both halves from their first value on; what stays follows.
    """
    width, rotary = architecture.head_width, architecture.rotary
    if rotary == width and not architecture.is_interleaved:
        return None
    turned = np.arange(rotary)
    kept = np.arange(rotary, width).reshape(2, -1)
    pairs = turned.reshape(-1, 2).T if architecture.is_interleaved else turned.reshape(2, -1)
    return np.concatenate([pairs, kept], axis=1).reshape(-1)


def row_order(heads: int, order: Array | None) -> Array | None:
    """Return the order of the rows of some heads, each ordered the same way."""
    if order is None:
        return None
    rows: Array = (np.arange(heads)[:, None] * len(order) + order[None]).reshape(-1)
    return rows
