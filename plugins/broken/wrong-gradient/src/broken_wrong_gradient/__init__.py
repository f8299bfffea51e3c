"""An operator that halves, and says that it doubles."""

from openautoglm import ops


class Halve(ops.Operator):
    name = "broken_wrong_gradient"

    def forward(self, x):
        return x * 0.5

    def backward(self, g):
        return g * 2.0
