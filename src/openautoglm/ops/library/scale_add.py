"""`scale_add`: x * scale + y on one shape."""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.library.terms import narrowed, quiet, widened
from openautoglm.ops.opdef import Backward, OpDef


def _reference(x: Any, y: Any, scale: float) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        return narrowed(widened(x) * scale + widened(y), x)


def _backward(grad: Any, scale: float) -> Any:  # noqa: ANN401 - tensors
    return grad * scale, grad


SCALE_ADD: Final = OpDef(
    "scale_add",
    inputs=[In("x", shape=("...",)), In("y", shape=("...",))],
    attrs=[Attr("scale", float, 1.0)],
    outputs=[Out("result", like="x")],
    reference=_reference,
    amp="promote",
    backward=Backward(_backward),
    doc="Scale one array and add another of the same shape: x * scale + y.\n\n"
    "One pass over memory; f16 and bf16 are computed in f32 and rounded once.",
)
"""Elementwise multiply-add on one shape."""
