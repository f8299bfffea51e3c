"""`bias_gelu` and its gradient, `bias_gelu_backward`.

Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
"""

from __future__ import annotations

import math
from typing import Any, Final

from openautoglm.ops import catalog
from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.library.terms import column_sum, namespace, narrowed, quiet, widened
from openautoglm.ops.opdef import Backward, OpDef

# The normal distribution's lower tail is exp(-a*a/2) * P(a) / Q(a) for 0 <= a <= 39 within 6e-17:
# a least-squares fit of our own. Highest power first; no coefficient is negative, nothing cancels.
_P: Final = (
    *(1.38619130730960234e-6, 3.72656423160074201e-5, 4.90547407736821647e-4),
    *(4.09023162705631761e-3, 2.3626817660095191e-2, 9.77139131801529685e-2),
    *(2.89365434026429551e-1, 5.94092638113593068e-1, 7.74906254474494387e-1),
    4.99999999999999977e-1,
)
_Q: Final = (
    *(3.47466632496021809e-6, 9.34111126994643449e-5, 1.23309466880353358e-3),
    *(1.03461013477204947e-2, 6.04463202802209537e-2, 2.54998313933430738e-1),
    *(7.82130978084379908e-1, 1.71452663444782722, 2.56137652162462647),
    *(2.34769706975184437, 1.0),
)
_FAR: Final = {4: 15.0, 8: 38.7}
"""By bytes of the dtype: where the tail is zero."""
_PEAK: Final = 1 / math.sqrt(2 * math.pi)
_TWO_K: Final = 2 * math.sqrt(2 / math.pi)
_CUBE: Final = 0.044715


def _polynomial(terms: tuple[float, ...], a: Any) -> Any:  # noqa: ANN401 - an array
    value = a * 0 + terms[0]
    for term in terms[1:]:
        value = value * a + term
    return value


def _bell(u: Any) -> Any:  # noqa: ANN401 - an array
    return namespace(u).exp(u * u * -0.5)


def _cdf(u: Any) -> Any:  # noqa: ANN401 - an array
    xp = namespace(u)
    far = _FAR[u.dtype.itemsize]
    size = xp.where(u < 0, -u, u)  # unlike abs, it has the right slope at 0
    a = xp.where(size > far, far, size)  # NaN stays NaN
    tail = _bell(a) * (_polynomial(_P, a) / _polynomial(_Q, a))
    return xp.where(u < 0, tail, 1 - tail)


def _gate(u: Any) -> Any:  # noqa: ANN401 - an array
    """Return sigmoid(2k(u + 0.044715 u^3)), the gate of the approximation by tanh."""
    return 1 / (1 + namespace(u).exp(-_TWO_K * u * (1 + _CUBE * u * u)))


def _slope(u: Any, approximate: str) -> Any:  # noqa: ANN401 - an array
    if approximate == "none":
        return _cdf(u) + _PEAK * u * _bell(u)
    gate = _gate(u)
    return gate + u * gate * (1 - gate) * _TWO_K * (1 + 3 * _CUBE * u * u)


def _curvature(u: Any, approximate: str) -> Any:  # noqa: ANN401 - an array
    if approximate == "none":
        return _PEAK * _bell(u) * (2 - u * u)
    gate = _gate(u)
    first = _TWO_K * (1 + 3 * _CUBE * u * u)
    second = 6 * _TWO_K * _CUBE * u
    return gate * (1 - gate) * (2 * first + u * ((1 - 2 * gate) * first**2 + second))


def _reference(x: Any, bias: Any, approximate: str) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        u = widened(x) + widened(bias)
        return narrowed(u * (_cdf(u) if approximate == "none" else _gate(u)), x)


def _backward(grad: Any, x: Any, bias: Any, approximate: str) -> Any:  # noqa: ANN401 - tensors
    return catalog.get("bias_gelu_backward")(grad, x, bias, approximate)


def _gradient(grad: Any, x: Any, bias: Any, approximate: str) -> Any:  # noqa: ANN401 - arrays
    with quiet(x):
        grad_x = widened(grad) * _slope(widened(x) + widened(bias), approximate)
        return narrowed(grad_x, x), narrowed(column_sum(grad_x), x)


def _second(
    grad_grad_x: Any,  # noqa: ANN401 - tensors, as below
    grad_grad_bias: Any,  # noqa: ANN401 - arrays
    grad: Any,  # noqa: ANN401 - arrays
    x: Any,  # noqa: ANN401 - arrays
    bias: Any,  # noqa: ANN401 - arrays
    approximate: str,
) -> Any:  # noqa: ANN401 - arrays
    u = widened(x) + widened(bias)
    both = widened(grad_grad_x) + widened(grad_grad_bias)
    grad_u = widened(grad) * _curvature(u, approximate) * both
    grad_grad = _slope(u, approximate) * both
    return narrowed(grad_grad, grad), narrowed(grad_u, x), narrowed(column_sum(grad_u), bias)


_APPROXIMATE: Final = Attr("approximate", str, "none", choices=("none", "tanh"))

BIAS_GELU: Final = OpDef(
    "bias_gelu",
    inputs=[In("x", shape=("...", "n")), In("bias", shape=("n",))],
    attrs=[_APPROXIMATE],
    outputs=[Out("result", like="x")],
    reference=_reference,
    amp="promote",
    backward=Backward(_backward, save=("x", "bias")),
    doc="Add a bias to each row and apply the Gaussian error linear unit: gelu(x + bias).\n\n"
    'gelu(u) = u * cdf(u) of the normal distribution; with approximate="tanh", '
    "u/2 * (1 + tanh(sqrt(2/pi) * (u + 0.044715 u^3))). One pass over memory; f16 and bf16 are "
    "computed in f32.",
)
"""A bias and the Gaussian error linear unit in one pass."""

BIAS_GELU_BACKWARD: Final = OpDef(
    "bias_gelu_backward",
    inputs=[In("grad", shape=("...", "n")), In("x", shape=("...", "n")), In("bias", shape=("n",))],
    attrs=[_APPROXIMATE],
    outputs=[Out("grad_x", like="x"), Out("grad_bias", like="bias")],
    reference=_gradient,
    amp="promote",
    backward=Backward(_second, save=("grad", "x", "bias")),
    doc="Return the gradients of `bias_gelu` for x and for bias.\n\n"
    "`grad` is that of the result. Sums over rows are kept in f32 for f16 and bf16.",
)
"""The gradient of `bias_gelu`."""
