"""The contract of an operator whose kernel keeps its scratch memory between calls."""

from openautoglm import ops

ops.define(
    "not_thread_safe",
    inputs=[ops.In("x", layout="contiguous")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: 3 * x,
)
