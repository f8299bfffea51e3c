"""The contract of an operator whose kernel leaks memory."""

from openautoglm import ops

ops.define(
    "leaks",
    inputs=[ops.In("x", layout="contiguous")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: x + 1,
)
