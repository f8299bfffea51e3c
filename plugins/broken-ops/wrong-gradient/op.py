"""Broken on purpose: the gradient for y forgets x."""

from openautoglm import ops


class WrongGradient(ops.Operator):
    """x * y."""

    name = "wrong_gradient"
    outputs = (ops.Out("z"),)

    def forward(self, x, y):
        return x * y

    def backward(self, grad, x, y):
        return grad * y, grad


ops.register(WrongGradient)
