"""Broken on purpose: a kernel that uses its input as scratch memory."""

from openautoglm import ops

squared = ops.define(
    "writes_its_input",
    inputs=[ops.In("x")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: x * x,
)


@squared.kernel("in_place", language="numpy", priority=1)
def in_place(x, *, out):
    out[...] = x
    out *= x
    if x.flags.writeable and x.size:
        x[...] = out
