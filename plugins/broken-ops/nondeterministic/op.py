"""Broken on purpose: adds up in a random order, so that the last digits vary."""

import numpy as np

from openautoglm import ops

rng = np.random.default_rng()


def reference(x):
    return x.sum(-1)


total = ops.define(
    "nondeterministic",
    inputs=[ops.In("x", shape=("...", "n"))],
    outputs=[ops.Out("total", shape=("...",))],
    reference=reference,
)


@total.kernel("shuffles", language="numpy", dtypes=("f32",), priority=1)
def shuffles(x, *, out):
    out[...] = 0
    for column in rng.permutation(x.shape[-1]):
        out += x[..., column]
