"""The rows about autocast: the policy is what the contract says, in eager calls and in graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from openautoglm.ops import arrays, precision
from openautoglm.ops.check.closeness import NotApplicableError, difference, tuple_of
from openautoglm.ops.check.graphs import Graph, gradients

if TYPE_CHECKING:
    from openautoglm.ops.check.torch_call import TorchCall

LOWER: Final = "bf16"


def compare_autocast(call: TorchCall) -> str:
    """Return how a call under autocast differs from one whose inputs were cast by hand."""
    _need_f32(call)
    with torch.no_grad():
        wanted = call(*_cast(call))
        with _autocast():
            got = call(*call.fresh())
    return difference(wanted, got) or _stays_wide(call, got) or _gradient_dtypes(call)


def compare_autocast_compiled(graph: Graph, call: TorchCall) -> str:
    """Return how a compiled call under autocast differs from an eager one."""
    _need_f32(call)
    with torch.no_grad(), _autocast():
        return difference(call(*call.fresh()), graph(*call.fresh()))


def _autocast() -> Any:  # noqa: ANN401 - torch's context manager
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _need_f32(call: TorchCall) -> None:
    if "f32" not in call.sample.dtypes:
        raise NotApplicableError("autocast casts f32, which no input is")
    if len(call.counts) != len(call.tensors) + call.counts.count(0) or any(
        part.many for part in call.operator.opdef.inputs
    ):
        raise NotApplicableError("lists are not cast")


def _cast(call: TorchCall) -> tuple[Any, ...]:
    opdef = call.operator.opdef
    policies = precision.current_table().policies(opdef)
    is_given = [count != 0 for count in call.counts]
    dtypes = [d if given else None for d, given in zip(call.sample.dtypes, is_given, strict=True)]
    targets = precision.cast_targets(policies, dtypes, LOWER)
    wanted = [target for target, given in zip(targets, is_given, strict=True) if given]
    return tuple(
        tensor if target is None else tensor.to(arrays.torch_dtype(target))
        for tensor, target in zip(call.fresh(), wanted, strict=True)
    )


def _stays_wide(call: TorchCall, got: Any) -> str:  # noqa: ANN401 - tensors
    """Return how the first output contradicts a policy that makes all inputs half."""
    policies = precision.current_table().policies(call.operator.opdef)
    of_f32 = [p for p, d in zip(policies, call.sample.dtypes, strict=True) if d == "f32"]
    first = tuple_of(got)[0]
    if all(policy == "lower" for policy in of_f32) and first.dtype == torch.float32:
        return "the policy is `lower`, and the result stays f32: what follows computes in f32"
    return ""


def _gradient_dtypes(call: TorchCall) -> str:
    """Return whose gradient under autocast has another dtype than the input."""
    if call.operator.opdef.backward is None:
        return ""
    with _autocast():
        found = gradients(call, call)
    for tensor, gradient in zip(call.tensors, found, strict=True):
        if gradient is not None and gradient.dtype != tensor.dtype:
            return f"the gradient of a {tensor.dtype} input is {gradient.dtype}"
    return ""
