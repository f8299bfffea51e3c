"""Broken on purpose: the sizes of graphs are symbols, which this `infer` takes for unknown."""

from openautoglm import ops


def infer(specs, attrs):
    del attrs
    (x,) = specs
    rows = x.shape[0] if type(x.shape[0]) is int else 1
    return ops.ArraySpec((rows, *x.shape[1:]), x.dtype, x.device)


ops.define(
    "wrong_fake",
    inputs=[ops.In("x", shape=("rows", "n"))],
    outputs=[ops.Out("z")],
    infer=infer,
    reference=lambda x: x + x,
)
