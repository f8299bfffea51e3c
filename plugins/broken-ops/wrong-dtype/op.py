"""Broken on purpose: the contract says f32, what is computed is another dtype."""

from openautoglm import ops

ops.define(
    "wrong_dtype",
    inputs=[ops.In("x")],
    outputs=[ops.Out("is_positive", like="x", dtype="f32")],
    reference=lambda x: x > 0,
)
