"""`mul`: x * y * scale."""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops import catalog
from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.library.terms import narrowed, quiet, widened
from openautoglm.ops.opdef import Backward, OpDef


def _reference(x: Any, y: Any, scale: float) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        return narrowed(widened(x) * widened(y) * scale, x)


def _backward(grad: Any, x: Any, y: Any, scale: float) -> Any:  # noqa: ANN401 - tensors
    mul = catalog.get("mul")
    return mul(grad, y, scale), mul(grad, x, scale)  # autograd sums what was broadcast


MUL: Final = OpDef(
    "mul",
    inputs=[In("x"), In("y")],
    attrs=[Attr("scale", float, 1.0)],
    outputs=[Out("result")],
    reference=_reference,
    amp="promote",
    backward=Backward(_backward, save=("x", "y")),
    doc="Multiply two arrays that broadcast to one shape: x * y * scale.\n\n"
    "f16 and bf16 are computed in f32 and rounded once.",
)
"""Elementwise multiplication with a factor."""
