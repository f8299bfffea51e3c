"""The contract of an operator whose kernel writes past the end of its output."""

from openautoglm import ops

ops.define(
    "out_of_bounds",
    inputs=[ops.In("x", layout="contiguous")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: 2 * x,
)
