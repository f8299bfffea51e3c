"""`add`: x + alpha * y."""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.library.terms import narrowed, quiet, widened
from openautoglm.ops.opdef import Backward, OpDef


def _reference(x: Any, y: Any, alpha: float) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        return narrowed(widened(x) + alpha * widened(y), x)


def _backward(grad: Any, alpha: float) -> Any:  # noqa: ANN401 - tensors
    return grad, grad * alpha  # autograd sums what was broadcast


ADD: Final = OpDef(
    "add",
    inputs=[In("x"), In("y")],
    attrs=[Attr("alpha", float, 1.0)],
    outputs=[Out("result")],
    reference=_reference,
    amp="promote",
    backward=Backward(_backward),
    doc="Add two arrays that broadcast to one shape: x + alpha * y.\n\n"
    "f16 and bf16 are computed in f32 and rounded once.",
)
"""Elementwise addition with a factor."""
