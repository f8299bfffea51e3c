"""The contract of an operator whose kernel crashes where there are no elements."""

from openautoglm import ops

ops.define(
    "crashes_on_empty",
    inputs=[ops.In("x", layout="contiguous")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: x * 1,
)
