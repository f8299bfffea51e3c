"""The contract of an operator whose kernel does not end for odd sizes."""

from openautoglm import ops

ops.define(
    "hangs",
    inputs=[ops.In("x", layout="contiguous")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: -x,
)
