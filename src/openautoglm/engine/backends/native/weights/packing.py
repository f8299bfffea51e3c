"""Stored weights packed by the compiled core.

Owns `pack_part`: one stored weight, some outputs of a packed one. Knows nothing of files or of what
a weight means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openautoglm.engine.backends.native.weights.matrix import not_finite
from openautoglm.errors import OperatorArgumentError
from openautoglm.native.cells import core_function
from openautoglm.ops.library.linear_int4 import GROUP as INT4_GROUP

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.weights.matrix import Part

    Array = np.ndarray[Any, np.dtype[Any]]

INT4_WORD: Final = 8
"""Numbers of int4 in 4 bytes."""
_STORED: Final = {"float32": 0, "float16": 1, "uint16": 2}
"""Numbers of native/core/pack.cc."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The arrays of a packed weight.

    Attributes:
        weight: (blocks, depth / group, 16[, group]), or as `linear_int4` says.
        group: numbers in 4 bytes: 1 for f32, 2 for bf16, 4 for int8, 8 for int4.
        scale: by output, of int8 and int4; None otherwise.
        grid: of int4, (blocks, depth / 32, 16); None otherwise.
    """

    weight: Array
    group: int
    scale: Array | None = None
    grid: Array | None = None


def pack_part(part: Part, first: int, target: Target, *, threads: int = 1) -> int:
    """Pack a stored weight, a matrix, and return how many outputs it has.

    Args:
        part: the weight and the order of its rows.
        first: which output of the packed weight its first row is.
        target: the packed weight.
        threads: how many may share the work.

    Raises:
        OperatorArgumentError: the depth is no multiple of the group.
        WeightsCorruptError: some values are NaN or infinite.
    """
    matrix = np.ascontiguousarray(part.stored.array)
    rows, depth = len(matrix), int(matrix.shape[1])
    group = INT4_GROUP if target.group == INT4_WORD else target.group
    if depth % group:
        raise OperatorArgumentError(
            "the depth of a packed weight is a multiple of its group",
            got=f"{part.name}: depth {depth}, group {group}",
            fix='use mode "fp32"',
        )
    order = 0 if part.order is None else part.order.ctypes.data
    bad = core_function("weights_pack")(
        *(matrix.ctypes.data, _STORED[matrix.dtype.name], order, rows, depth),
        *(target.weight.ctypes.data, target.group, _address(target.scale), _address(target.grid)),
        *(first, threads),
    )
    if bad:
        raise not_finite(part.name, bad)
    return rows


def _address(array: Array | None) -> int:
    return 0 if array is None else array.ctypes.data
