"""Broken on purpose: a kernel for the default of its attribute only, that takes every value."""

from openautoglm import ops

scaled = ops.define(
    "ignores_an_attribute",
    inputs=[ops.In("x")],
    attrs=[ops.Attr("scale", float, 2.0)],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x, scale: x * scale,
)


@scaled.kernel("doubles", language="numpy", priority=1)
def doubles(x, scale, *, out):
    del scale
    out[...] = x + x
