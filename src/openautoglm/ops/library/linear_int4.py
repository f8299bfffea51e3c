"""`linear_int4`: rows times weights of 4 bits, in groups of 32 along the depth.

A group of an output has a grid (m, z): a weight n of 0 to 15 is the int8 number m * (n - z), and
from there on all is as in `linear_int8`. `quantize_int4` and `pack_int4` bring a matrix into that
form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openautoglm.errors import OperatorArgumentError
from openautoglm.ops.arguments import In
from openautoglm.ops.library.linear import (
    BIAS,
    BLOCK,
    OUT,
    RESIDUAL,
    filled,
    multiplied_int8,
)
from openautoglm.ops.library.terms import namespace
from openautoglm.ops.opdef import OpDef
from openautoglm.settings import need

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

GROUP: Final = 32
"""Steps of the depth that have a grid of their own."""
_MOST: Final = 15
"""The highest weight of 4 bits."""
_WIDEST: Final = 16
"""The widest step of a grid."""
_LARGEST: Final = 128
"""What an output's largest value becomes, without its sign; where it is positive, one less."""
_SMALLEST_PEAK: Final = 1e-30
_HALVES: Final = (GROUP // 8, 2, 4)
"""A group's steps: pairs of fours, the low halves of bytes and the high ones."""


def quantize_int4(weight: Array) -> tuple[Array, Array, Array]:
    """Return a matrix (outputs, depth) of f32 in 4 bits, the grids of its groups, and scales.

    Of the two narrowest grids that a group fits, the one is taken that loses less: the sum of
    squares decides. With m = grid % 16 + 1 and z = grid // 16, a weight is m * (n - z) * scale.

    Returns:
        (outputs, depth) of 0 to 15 and (outputs, depth / 32), both of uint8; (outputs,) of f32.

    Raises:
        OperatorArgumentError: the depth is no multiple of 32.
    """
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    outputs, depth = weight.shape
    if depth % GROUP:
        raise OperatorArgumentError(
            "the depth of weights in int4 is a multiple of their groups",
            got=f"depth {depth}, groups of {GROUP}",
            fix="keep them in int8",
        )
    peak = numpy.abs(weight).max(axis=1, initial=0.0)
    scale = numpy.maximum(peak, _SMALLEST_PEAK).astype("float32") / numpy.float32(_LARGEST)
    groups = (weight / scale[:, None]).astype("float32").reshape(outputs, depth // GROUP, GROUP)
    low, high = groups.min(-1), groups.max(-1)
    wide = numpy.clip(numpy.ceil((high - low) / numpy.float32(_MOST)), 1, _WIDEST)
    narrow = numpy.maximum(wide - 1, 1)
    (n, lost, grid), (narrow_n, narrow_lost, narrow_grid) = (
        _on_grid(groups, m, low + high, numpy) for m in (wide, narrow)
    )
    is_narrow = narrow_lost < lost
    n = numpy.where(is_narrow[..., None], narrow_n, n).astype("uint8")
    return (
        n.reshape(outputs, depth),
        numpy.where(is_narrow, narrow_grid, grid).astype("uint8"),
        scale,
    )


def _on_grid(
    groups: Array,
    m: Array,
    ends: Array,
    numpy: Any,  # noqa: ANN401 - a module
) -> tuple[Array, Array, Array]:
    """Return weights on grids with these steps, what they lose, and the grids."""
    half = numpy.float32(0.5)
    z = numpy.floor(numpy.float32(_MOST / 2) - ends * half / m + half)
    z = numpy.maximum(z, numpy.maximum(0, _MOST - numpy.floor((_LARGEST - 1) / m)))
    z = numpy.minimum(z, numpy.minimum(_MOST, numpy.floor(_LARGEST / m)))
    n = numpy.clip(numpy.rint(groups / m[..., None]) + z[..., None], 0, _MOST)
    off = ((n - z[..., None]) * m[..., None] - groups).astype("float64")
    lost = numpy.zeros(m.shape)
    for i in range(GROUP):  # one after the other, as the core does
        lost += off[..., i] * off[..., i]
    return n, lost, m - 1 + 16 * z


def pack_int4(weight: Array, grid: Array) -> tuple[Array, Array]:
    """Return weights of 4 bits and grids as the operator takes them, filled up to whole blocks.

    Args:
        weight: (outputs, depth) of 0 to 15, uint8.
        grid: (outputs, depth / 32), uint8.

    Returns:
        (blocks, depth / 32, 4, 16, 4) and (blocks, depth / 32, 16) of uint8.

    Example:
        >>> import numpy as np
        >>> weight, grid, scale = quantize_int4(np.ones((20, 64), np.float32))
        >>> [part.shape for part in pack_int4(weight, grid)]
        [(2, 2, 4, 16, 4), (2, 2, 16)]
    """
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    whole = filled(weight)
    blocks, groups = len(whole) // BLOCK, grid.shape[1]
    parts = whole.reshape(blocks, BLOCK, groups, *_HALVES).transpose(0, 2, 3, 4, 1, 5)
    grids = filled(grid).reshape(blocks, BLOCK, groups).transpose(0, 2, 1)
    packed = parts[:, :, :, 0] | parts[:, :, :, 1] << 4
    return numpy.ascontiguousarray(packed), numpy.ascontiguousarray(grids)


def _reference(
    x: Any,  # noqa: ANN401 - arrays, as below
    weight: Any,  # noqa: ANN401 - arrays
    grid: Any,  # noqa: ANN401 - arrays
    scale: Any,  # noqa: ANN401 - arrays
    bias: Any,  # noqa: ANN401 - arrays
    residual: Any,  # noqa: ANN401 - arrays
) -> Any:  # noqa: ANN401 - arrays
    xp = namespace(x)
    if xp.__name__ == "torch":
        wide, grids = weight.to(xp.int16), grid.to(xp.int16)
    else:
        wide, grids = weight.astype("int16"), grid.astype("int16")
    m = grids % 16 + 1
    less = m * (grids >> 4)
    less = xp.where(less > _LARGEST, _LARGEST, less)
    least = _MOST * m - (_LARGEST - 1)
    less = xp.where(less < least, least, less)
    n = xp.moveaxis(xp.stack((wide & 15, wide >> 4), 3), 4, 2)  # (b, g, 16, pairs, halves, 4)
    whole = n.reshape(*grid.shape, GROUP) * m[..., None] - less[..., None]
    return multiplied_int8(x, whole, scale, bias, residual)


LINEAR_INT4: Final = OpDef(
    "linear_int4",
    inputs=[
        In("x", dtypes=("f32",), shape=("...", "g", GROUP), layout="contiguous"),
        In("weight", dtypes=("u8",), shape=("b", "g", 4, BLOCK, 4), layout="contiguous"),
        In("grid", dtypes=("u8",), shape=("b", "g", BLOCK), layout="contiguous"),
        In("scale", shape=("b", BLOCK), layout="contiguous"),
        BIAS,
        RESIDUAL,
    ],
    outputs=[OUT],
    reference=_reference,
    amp="keep",
    doc="Multiply rows, rounded to int8, by packed weights of 4 bits in groups of 32.\n\n"
    "Byte weight[b, g, p, c, j] holds output c's weight at step g * 32 + p * 8 + j of the depth in "
    "its low half, and the one 4 steps further in its high half. A weight n whose group has the "
    "grid (z * 16 + m - 1) is the number m * n - m * z, with m * z brought between 15 * m - 127 "
    "and 128, so that it is an int8. From there on all is as in `linear_int8`: a row is rounded by "
    "its own largest value, the sum is exact, so that a row's result does not depend on the rows "
    "beside it, and a row that is not finite gives NaN. The depth, g * 32, is at most 131,072. "
    "Bias and residual are added where they are given.",
)
"""Rows times packed weights of 4 bits."""
