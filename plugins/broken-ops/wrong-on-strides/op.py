"""The contract of an operator whose kernel is wrong on strides."""

from openautoglm import ops

ops.define(
    "wrong_on_strides",
    inputs=[ops.In("x")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: -x,
)
