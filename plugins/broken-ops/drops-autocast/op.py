"""Broken on purpose: autocast makes its input half, and the contract makes the result f32 again."""

from openautoglm import ops

ops.define(
    "drops_autocast",
    inputs=[ops.In("x")],
    outputs=[ops.Out("z", like="x", dtype="f32")],
    amp="lower",
    reference=lambda x: x.astype("float32") * 2 if hasattr(x, "astype") else x.float() * 2,
)
