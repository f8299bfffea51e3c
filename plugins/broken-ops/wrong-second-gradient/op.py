"""Broken on purpose: the gradient is right, but made by a torch operator that has none itself."""

import torch

from openautoglm import ops

ops.get("mul")(torch.ones(1), torch.ones(1))


def backward(grad, x):
    return torch.ops.oag._mul(grad, x, 2.0)  # the raw operator: nothing is recorded


ops.define(
    "wrong_second_gradient",
    inputs=[ops.In("x")],
    outputs=[ops.Out("z", like="x")],
    reference=lambda x: x * x,
    backward=ops.Backward(backward, save=("x",)),
)
