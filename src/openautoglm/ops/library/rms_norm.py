"""`rms_norm` and its gradient, `rms_norm_backward`.

Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
"""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops import catalog
from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.library.terms import column_sum, narrowed, quiet, row_mean, widened
from openautoglm.ops.opdef import Backward, OpDef


def _inverse_root(x: Any, eps: float) -> Any:  # noqa: ANN401 - arrays
    return (row_mean(x * x) + eps) ** -0.5


def _reference(x: Any, weight: Any, eps: float) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        wide = widened(x)
        normal = wide * _inverse_root(wide, eps)
        return narrowed(normal if weight is None else normal * widened(weight), x)


def _backward(grad: Any, x: Any, weight: Any, eps: float) -> Any:  # noqa: ANN401 - tensors
    grad_x, grad_weight = catalog.get("rms_norm_backward")(grad, x, weight, eps)
    return grad_x, None if weight is None else grad_weight


def _gradient(grad: Any, x: Any, weight: Any, eps: float) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        g, v = widened(grad), widened(x)
        r = _inverse_root(v, eps)
        weighted = g if weight is None else g * widened(weight)
        grad_x = r * weighted - r**3 * v * row_mean(weighted * v)
        return narrowed(grad_x, x), narrowed(column_sum(g * v * r), x)


def _second(
    grad_grad_x: Any,  # noqa: ANN401 - tensors, as below
    grad_grad_weight: Any,  # noqa: ANN401 - arrays
    grad: Any,  # noqa: ANN401 - arrays
    x: Any,  # noqa: ANN401 - arrays
    weight: Any,  # noqa: ANN401 - arrays
    eps: float,
) -> Any:  # noqa: ANN401 - arrays
    """Differentiate L = <a, r w g - r^3 x mean(w g x)> + <b, sum of r g x>, for rows x and g."""
    a, b = widened(grad_grad_x), widened(grad_grad_weight)
    g, v = widened(grad), widened(x)
    w = 1.0 if weight is None else widened(weight)
    r = _inverse_root(v, eps)
    u = g * w
    mean_a, mean_u, mean_b = row_mean(a * v), row_mean(u * v), row_mean(b * g * v)
    from_u = r * a - r**3 * v * mean_a
    through_r = -(r**3) * v * (row_mean(a * u) + mean_b - 3 * r**2 * mean_a * mean_u)
    grad_x = through_r - r**3 * (mean_u * a + mean_a * u) + r * b * g
    grad_weight = None if weight is None else narrowed(column_sum(g * from_u), weight)
    return narrowed(w * from_u + r * b * v, grad), narrowed(grad_x, x), grad_weight


RMS_NORM: Final = OpDef(
    "rms_norm",
    inputs=[In("x", shape=("...", "n")), In("weight", shape=("n",), optional=True)],
    attrs=[Attr("eps", float, 1e-6, low=0.0)],
    outputs=[Out("result", like="x")],
    reference=_reference,
    amp="fp32",
    backward=Backward(_backward, save=("x", "weight")),
    doc="Normalise each row by its root mean square: x / sqrt(mean(x^2) + eps) * weight.\n\n"
    "A row is the last dimension. Without weight, rows are only normalised. The mean is computed "
    "in f32 for f16 and bf16.",
)
"""Root-mean-square normalisation of rows."""

RMS_NORM_BACKWARD: Final = OpDef(
    "rms_norm_backward",
    inputs=[
        In("grad", shape=("...", "n")),
        In("x", shape=("...", "n")),
        In("weight", shape=("n",), optional=True),
    ],
    attrs=[Attr("eps", float, 1e-6, low=0.0)],
    outputs=[Out("grad_x", like="x"), Out("grad_weight", shape=("n",))],
    reference=_gradient,
    amp="fp32",
    backward=Backward(_second, save=("grad", "x", "weight")),
    doc="Return the gradients of `rms_norm` for x and for weight.\n\n"
    "`grad` is that of the result. Without weight, its gradient is that of weights of one. Sums "
    "over rows are kept in f32 for f16 and bf16.",
)
"""The gradient of `rms_norm`."""
