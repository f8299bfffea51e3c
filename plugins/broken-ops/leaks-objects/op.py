"""Broken on purpose: a kernel that remembers every result."""

from openautoglm import ops

halved = ops.define(
    "leaks_objects",
    inputs=[ops.In("x")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: x / 2,
)
remembered = []


@halved.kernel("remembers", language="numpy", priority=1)
def remembers(x, *, out):
    out[...] = x / 2
    remembered.append(out.copy())
