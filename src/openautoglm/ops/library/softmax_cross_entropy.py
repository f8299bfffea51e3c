"""`softmax_cross_entropy` and its gradient, `softmax_cross_entropy_backward`."""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops import catalog
from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.library.terms import namespace, narrowed, quiet, row_sum, widened
from openautoglm.ops.opdef import Backward, OpDef


def _classes(logits: Any) -> Any:  # noqa: ANN401 - an array
    """Return 0, 1, ... as one row, or none where there is no row."""
    xp = namespace(logits)
    return xp.cumsum(xp.ones_like(logits[:1], dtype=xp.int64), 1) - 1


def _shifted(logits: Any) -> Any:  # noqa: ANN401 - an array
    """Return each row less its largest value, so that exp cannot overflow."""
    if logits.shape[-1] == 0:
        return logits
    return logits - namespace(logits).amax(logits, axis=1, keepdims=True)


def _masked(value: Any, logits: Any, target: Any, ignore_index: int) -> Any:  # noqa: ANN401 - arrays
    """Put 0 where a target is ignored, and NaN where it is no class."""
    xp = namespace(logits)
    known = (target >= 0) & (target < logits.shape[1])
    return xp.where(target == ignore_index, 0.0, xp.where(known, value, xp.nan))


def _reference(logits: Any, target: Any, ignore_index: int) -> Any:  # noqa: ANN401 - arrays
    xp = namespace(logits)
    with quiet(logits):
        shifted = _shifted(widened(logits))
        picked = xp.where(_classes(logits) == target[:, None], shifted, 0.0).sum(axis=1)
        loss = xp.log(xp.exp(shifted).sum(axis=1)) - picked
        return narrowed(_masked(loss, logits, target, ignore_index), logits)


def _backward(grad: Any, logits: Any, target: Any, ignore_index: int) -> Any:  # noqa: ANN401 - tensors
    backward = catalog.get("softmax_cross_entropy_backward")
    return backward(grad, logits, target, ignore_index), None


def _probabilities(logits: Any) -> Any:  # noqa: ANN401 - an array
    powers = namespace(logits).exp(_shifted(widened(logits)))
    return powers / row_sum(powers)


def _difference(logits: Any, target: Any) -> Any:  # noqa: ANN401 - arrays
    """Return the probabilities, less one at the target."""
    xp = namespace(logits)
    probabilities = _probabilities(logits)
    hit = _classes(logits) == target[:, None]
    return xp.where(hit, probabilities - 1.0, probabilities)


def _gradient(grad: Any, logits: Any, target: Any, ignore_index: int) -> Any:  # noqa: ANN401 - arrays
    with quiet(logits):
        value = widened(grad)[:, None] * _difference(logits, target)
        return narrowed(_masked(value, logits, target[:, None], ignore_index), logits)


def _second(
    grad_grad: Any,  # noqa: ANN401 - tensors, as below
    grad: Any,  # noqa: ANN401 - arrays
    logits: Any,  # noqa: ANN401 - arrays
    target: Any,  # noqa: ANN401 - arrays
    ignore_index: int,
) -> Any:  # noqa: ANN401 - arrays
    a, g, column = widened(grad_grad), widened(grad)[:, None], target[:, None]
    p = _probabilities(logits)
    for_grad = (a * _difference(logits, target)).sum(axis=1)
    for_logits = g * p * (a - row_sum(a * p))
    return (
        narrowed(_masked(for_grad, logits, target, ignore_index), grad),
        narrowed(_masked(for_logits, logits, column, ignore_index), logits),
        None,
    )


_IGNORE: Final = Attr("ignore_index", int, -100)
_TARGET: Final = In("target", dtypes=("i64",), shape=("b",))

SOFTMAX_CROSS_ENTROPY: Final = OpDef(
    "softmax_cross_entropy",
    inputs=[In("logits", shape=("b", "c")), _TARGET],
    attrs=[_IGNORE],
    outputs=[Out("loss", shape=("b",))],
    reference=_reference,
    amp="fp32",
    backward=Backward(_backward, save=("logits", "target")),
    doc="Return the cross entropy of each row's softmax with its target class.\n\n"
    "log(sum(exp(logits))) - logits[target], row by row, not reduced. A row whose target is "
    "`ignore_index` has loss 0; one whose target is no class has loss NaN.",
)
"""Cross entropy of a softmax, by row."""

SOFTMAX_CROSS_ENTROPY_BACKWARD: Final = OpDef(
    "softmax_cross_entropy_backward",
    inputs=[In("grad", shape=("b",)), In("logits", shape=("b", "c")), _TARGET],
    attrs=[_IGNORE],
    outputs=[Out("grad_logits", like="logits")],
    reference=_gradient,
    amp="fp32",
    backward=Backward(_second, save=("grad", "logits", "target")),
    doc="Return the gradient of `softmax_cross_entropy` for logits.\n\n"
    "`grad` is that of the losses: grad * (softmax(logits) - one at the target).",
)
"""The gradient of `softmax_cross_entropy`."""
