"""`silu_gated`: the gated activation of most decoders.

Shazeer, "GLU Variants Improve Transformer", 2020 (SwiGLU).
"""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops.arguments import In, Out
from openautoglm.ops.library.terms import namespace, narrowed, quiet
from openautoglm.ops.opdef import OpDef


def _reference(x: Any) -> Any:  # noqa: ANN401 - an array
    with quiet(x):
        gate, value = x[..., 0, :], x[..., 1, :]
        return narrowed(gate / (1 + namespace(x).exp(-gate)) * value, x)


SILU_GATED: Final = OpDef(
    "silu_gated",
    inputs=[In("x", dtypes=("f32",), shape=("...", 2, "i"), layout="contiguous")],
    outputs=[Out("out", shape=("...", "i"))],
    reference=_reference,
    amp="keep",
    doc="Return silu(x[..., 0, :]) * x[..., 1, :], with silu(v) = v / (1 + exp(-v)).",
)
"""The gated activation."""
