"""Broken on purpose: a kernel of max(x, 0) in which NaN loses every comparison and becomes 0."""

import numpy as np

from openautoglm import ops

relu = ops.define(
    "drops_nan",
    inputs=[ops.In("x")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: x.clip(0),
)


@relu.kernel("compares", language="numpy", priority=1)
def compares(x, *, out):
    out[...] = np.where(x > 0, x, 0)
