"""Words the references are written in, the same for NumPy's arrays and torch's tensors.

Owns the few places where the two differ. torch is used only where it is in the process already.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from openautoglm.ops.arrays import is_torch
from openautoglm.settings import need

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

HALF_BYTES = 2


def namespace(array: Any) -> Any:  # noqa: ANN401 - an array of NumPy or torch
    """Return the module whose functions take this array."""
    if is_torch(array):
        return sys.modules["torch"]
    return need("numpy", extra="ops", why="operators on arrays other than torch's")


def widened(array: Any) -> Any:  # noqa: ANN401 - an array of NumPy or torch
    """Return f16 and bf16 as f32, in which they are computed; others as they are."""
    if array.dtype.itemsize > HALF_BYTES:
        return array
    return array.float() if is_torch(array) else array.astype("float32")


def narrowed(value: Any, like: Any) -> Any:  # noqa: ANN401 - arrays of NumPy or torch
    """Return a result in the dtype of an input."""
    if is_torch(like):
        return value.to(like.dtype)
    with quiet(like):
        return value.astype(like.dtype, copy=False)


def quiet(array: Any) -> AbstractContextManager[object]:  # noqa: ANN401 - an array of NumPy or torch
    """Let infinities and NaN go through without a warning, as kernels and torch do."""
    if is_torch(array):
        return nullcontext()
    return namespace(array).errstate(all="ignore")  # type: ignore[no-any-return]  # through need()


def row_sum(array: Any) -> Any:  # noqa: ANN401 - an array of NumPy or torch
    """Return the sum along the last dimension, which stays with size 1."""
    return array.sum(axis=-1, keepdims=True)


def row_mean(array: Any) -> Any:  # noqa: ANN401 - an array of NumPy or torch
    """Return the mean along the last dimension, which stays with size 1; 0 for no elements."""
    return row_sum(array) / max(array.shape[-1], 1)


def column_sum(array: Any) -> Any:  # noqa: ANN401 - an array of NumPy or torch
    """Return the sum over all dimensions but the last, which is all that stays."""
    axes = tuple(range(array.ndim - 1))
    return array.sum(axis=axes) if axes else array


def picked(table: Any, rows: Any) -> Any:  # noqa: ANN401 - arrays of NumPy or torch
    """Return rows of a table by their numbers, in f32 or wider; NaN for a number outside it."""
    xp = namespace(table)
    wide = widened(table)
    known = (rows >= 0) & (rows < table.shape[0])
    if not table.shape[0]:  # no row to take instead of one that is not there
        wide = xp.zeros((1, *table.shape[1:]), dtype=wide.dtype)
    found = wide[xp.where(known, rows, 0 * rows)]
    known = known.reshape(len(rows), *(1,) * (table.ndim - 1))
    return xp.where(known, found, found * 0 + float("nan"))
