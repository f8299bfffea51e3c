"""Broken on purpose: autocast makes one input half and leaves the other, which must be the same."""

from openautoglm import ops

ops.define(
    "splits_autocast",
    inputs=[ops.In("x"), ops.In("y")],
    amp={"x": "lower"},
    reference=lambda x, y: x + y,
)
