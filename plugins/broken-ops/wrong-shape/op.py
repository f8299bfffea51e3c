"""Broken on purpose: the contract says a number for each row, what is computed keeps the column."""

from openautoglm import ops

ops.define(
    "wrong_shape",
    inputs=[ops.In("x", shape=("...", "n"))],
    outputs=[ops.Out("total", shape=("...",))],
    reference=lambda x: x.sum(-1, keepdims=True),
)
