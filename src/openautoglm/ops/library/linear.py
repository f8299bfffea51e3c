"""`linear`, `linear_bf16` and `linear_int8`: rows times weights that lie packed in blocks.

A block is 16 outputs. Its weights follow the depth, so that a kernel loads 16 outputs' weights at
once and no sum crosses lanes; two (bf16) or four (int8) steps of the depth lie side by side, as the
dot-product instructions of CPUs want them. `pack` brings a matrix into that form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openautoglm.errors import OperatorArgumentError
from openautoglm.ops.arguments import In, Out
from openautoglm.ops.library.terms import namespace, narrowed, quiet, widened
from openautoglm.ops.opdef import OpDef
from openautoglm.settings import need

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

BLOCK: Final = 16
"""Outputs of a block."""
LARGEST: Final = 127
"""What the largest value of a row, and of an output's weights, becomes in int8."""
_SMALLEST_PEAK: Final = 1e-30


def pack(weight: Array, group: int = 1) -> Array:
    """Return a matrix (outputs, depth) as (blocks, depth / group, 16, group), or without the group.

    Outputs are filled up with zeros to whole blocks.

    Args:
        weight: (outputs, depth), of any dtype.
        group: steps of the depth that lie side by side: 1 for `linear`, 2 for `linear_bf16`, 4 for
            `linear_int8`.

    Raises:
        OperatorArgumentError: the depth is no multiple of the group.

    Example:
        >>> import numpy as np
        >>> pack(np.zeros((20, 8)), 4).shape
        (2, 2, 16, 4)
    """
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    outputs, depth = weight.shape
    if depth % group:
        raise OperatorArgumentError(
            "the depth of a packed weight is a multiple of its group",
            got=f"depth {depth}, group {group}",
            fix="fill the weight and the rows up with zeros",
        )
    grouped = filled(weight).reshape(-(-outputs // BLOCK), BLOCK, depth // group, group)
    grouped = grouped.transpose(0, 2, 1, 3)
    packed: Array = numpy.ascontiguousarray(grouped if group > 1 else grouped[..., 0])
    return packed


def filled(matrix: Array) -> Array:
    """Return a matrix (outputs, ...) with rows of zeros up to whole blocks."""
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    outputs = len(matrix)
    if outputs % BLOCK == 0:
        return matrix
    whole: Array = numpy.zeros((-(-outputs // BLOCK) * BLOCK, *matrix.shape[1:]), matrix.dtype)
    whole[:outputs] = matrix
    return whole


def quantize(weight: Array) -> tuple[Array, Array]:
    """Return a matrix (outputs, depth) of f32 in int8, and the scale of each output.

    Symmetric, by the largest value of each output: weight = int8 * scale, within half a scale.
    """
    numpy = need("numpy", extra="ops", why="operators on arrays other than torch's")
    peak = numpy.abs(weight).max(axis=1, initial=0.0)
    scale = numpy.maximum(peak, _SMALLEST_PEAK).astype("float32") / numpy.float32(LARGEST)
    whole = numpy.rint(weight / scale[:, None])
    return numpy.clip(whole, -LARGEST, LARGEST).astype("int8"), scale


def _added(value: Any, bias: Any, residual: Any) -> Any:  # noqa: ANN401 - arrays
    value = value if bias is None else value + bias
    return value if residual is None else value + residual


def _reference(x: Any, weight: Any, bias: Any, residual: Any) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        value = namespace(x).einsum("...i,bic->...bc", x, weight)
        return narrowed(_added(value, bias, residual), x)


def _reference_bf16(x: Any, weight: Any, bias: Any, residual: Any) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        rounded = _to_bf16(x)
        wide = widened(weight) if weight.dtype.itemsize == 2 else weight  # noqa: PLR2004 - bytes
        value = namespace(x).einsum("...gj,bgcj->...bc", rounded, wide)
        return narrowed(_added(value, bias, residual), x)


def _to_bf16(x: Any) -> Any:  # noqa: ANN401 - an array
    """Return values rounded to the nearest bf16, ties to even, in f32; NaN stays NaN."""
    xp = namespace(x)
    if xp.__name__ == "torch":
        return x.bfloat16().float()
    bits = xp.ascontiguousarray(x, dtype="float32").view("uint32")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & xp.uint32(0xFFFF0000)
    return xp.where(xp.isnan(x), xp.float32("nan"), rounded.view("float32"))


def multiplied_int8(
    x: Any,  # noqa: ANN401 - arrays, as below
    weight: Any,  # noqa: ANN401 - arrays
    scale: Any,  # noqa: ANN401 - arrays
    bias: Any,  # noqa: ANN401 - arrays
    residual: Any,  # noqa: ANN401 - arrays
) -> Any:  # noqa: ANN401 - arrays
    """Return rows, rounded to int8, times weights of whole numbers, as `linear_int8` does."""
    with quiet(x):
        xp = namespace(x)
        whole, unit = _rounded_rows(_single(x), xp)
        exact = xp.einsum("...gj,bgcj->...bc", _double(whole), _double(weight))
        value = _single(exact) * unit[..., None, None] * scale
        return narrowed(_added(value, bias, residual), x)


def _rounded_rows(x: Any, xp: Any) -> tuple[Any, Any]:  # noqa: ANN401 - arrays, a module
    """Return each row's values as whole numbers, and what one of them is worth."""
    flat = x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])
    if not flat.shape[-1]:
        return x, _single(flat.sum(-1))
    size = abs(flat)
    peak = size.amax(-1) if xp.__name__ == "torch" else size.max(axis=-1)
    is_good = xp.isfinite(flat).all(-1)
    is_used = is_good & (peak >= _SMALLEST_PEAK)
    one = xp.ones_like(peak)
    inverse = xp.where(is_used, LARGEST / xp.where(is_used, peak, one), 0 * one)
    kept = xp.where(is_good[..., None, None], x, 0 * xp.ones_like(x))
    unit = xp.where(is_good, peak / LARGEST, one * float("nan"))
    return xp.round(kept * inverse[..., None, None]), unit


def _single(x: Any) -> Any:  # noqa: ANN401 - an array
    return x.float() if namespace(x).__name__ == "torch" else x.astype("float32")


def _double(x: Any) -> Any:  # noqa: ANN401 - an array
    return x.double() if namespace(x).__name__ == "torch" else x.astype("float64")


BIAS: Final = In("bias", shape=("b", BLOCK), optional=True, layout="contiguous")
RESIDUAL: Final = In("residual", shape=("...", "b", BLOCK), optional=True, layout="contiguous")
OUT: Final = Out("out", shape=("...", "b", BLOCK))

LINEAR: Final = OpDef(
    "linear",
    inputs=[
        In("x", dtypes=("f32",), shape=("...", "i"), layout="contiguous"),
        In("weight", shape=("b", "i", BLOCK), layout="contiguous"),
        BIAS,
        RESIDUAL,
    ],
    outputs=[OUT],
    reference=_reference,
    amp="keep",
    doc="Multiply rows by packed weights: sum over i of x[..., i] * weight[b, i, c].\n\n"
    "Bias and residual are added where they are given. A row's result does not depend on the rows "
    "beside it, to the last bit.",
)
"""Rows times packed f32 weights."""

LINEAR_BF16: Final = OpDef(
    "linear_bf16",
    inputs=[
        In("x", dtypes=("f32",), shape=("...", "g", 2), layout="contiguous"),
        In("weight", dtypes=("bf16",), shape=("b", "g", BLOCK, 2), layout="contiguous"),
        BIAS,
        RESIDUAL,
    ],
    outputs=[OUT],
    reference=_reference_bf16,
    amp="keep",
    doc="Multiply rows, rounded to bf16, by packed bf16 weights; sums are f32.\n\n"
    "The depth is g * 2: sum over g and j of x[..., g, j] * weight[b, g, c, j]. Bias and residual "
    "are added where they are given.",
)
"""Rows times packed bf16 weights."""

LINEAR_INT8: Final = OpDef(
    "linear_int8",
    inputs=[
        In("x", dtypes=("f32",), shape=("...", "g", 4), layout="contiguous"),
        In("weight", dtypes=("i8",), shape=("b", "g", BLOCK, 4), layout="contiguous"),
        In("scale", shape=("b", BLOCK), layout="contiguous"),
        BIAS,
        RESIDUAL,
    ],
    outputs=[OUT],
    reference=multiplied_int8,
    amp="keep",
    doc="Multiply rows, rounded to int8, by packed int8 weights with a scale for each output.\n\n"
    "A row is rounded by its own largest value, which becomes 127; the sum of integers is exact, "
    "so a row's result does not depend on the rows beside it. A row that is not finite gives NaN. "
    "The depth, g * 4, is at most 131,072. "
    "Bias and residual are added where they are given.",
)
"""Rows times packed int8 weights."""
