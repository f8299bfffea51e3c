"""`rope`: rotary positions.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021. Which values of a
head make a pair is a matter of how its rows are ordered; here they lie half a head apart.
"""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops.arguments import In, Out
from openautoglm.ops.library.terms import namespace, narrowed, picked, quiet
from openautoglm.ops.opdef import OpDef


def _reference(x: Any, position: Any, cos: Any, sin: Any) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        c, s = picked(cos, position)[:, None, :], picked(sin, position)[:, None, :]
        a, b = x[:, :, 0], x[:, :, 1]
        return narrowed(namespace(x).stack([a * c - b * s, b * c + a * s], 2), x)


ROPE: Final = OpDef(
    "rope",
    inputs=[
        In("x", dtypes=("f32",), shape=("n", "h", 2, "e")),
        In("position", dtypes=("i64",), shape=("n",)),
        In("cos", shape=("t", "e")),
        In("sin", shape=("t", "e")),
    ],
    outputs=[Out("out", like="x")],
    reference=_reference,
    amp="keep",
    doc="Turn each pair (x[n, h, 0, e], x[n, h, 1, e]) by the angle of row n's position.\n\n"
    "`cos` and `sin` hold the angles by position; a pair with cos 1 and sin 0 stays. A position "
    "outside the table gives NaN.",
)
"""Rotary positions."""
