"""The rows about compiled graphs: the same result and the same gradients as eager calls.

One function is compiled for an operator, and all rows share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from openautoglm.errors import KernelFailedError
from openautoglm.ops.check.closeness import (
    NotApplicableError,
    difference,
    difference_of_kind,
    tuple_of,
)

if TYPE_CHECKING:
    from openautoglm.ops.check.torch_call import TorchCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A call, compiled; made at the first use."""

    call: TorchCall
    backend: str
    _made: list[Any] = field(default_factory=list)

    def _run(self, *tensors: Any) -> Any:  # noqa: ANN401 - tensors
        if not self._made:
            call = self.call
            call(*call.fresh())  # an operator is bound to torch outside of graphs

            def traced(*tensors: Any) -> Any:  # noqa: ANN401 - tensors
                """Return the outputs, and arrays of the sizes and dtypes that tracing saw."""
                found = tuple_of(call(*tensors))
                return found, tuple(torch.zeros(x.shape, dtype=x.dtype) for x in found)

            made = torch.compile(traced, fullgraph=True, dynamic=True, backend=self.backend)
            self._made.append(made)
        return self._made[0](*tensors)

    def __call__(self, *tensors: Any) -> Any:  # noqa: ANN401 - tensors
        """Run the compiled call.

        Raises:
            KernelFailedError: an output is not what the graph was made for.
        """
        found, seen = self._run(*tensors)
        problem = difference_of_kind(seen, found)
        if problem:
            raise KernelFailedError(f"the graph was made for another output: {problem}")
        return found

    def compare(self, call: TorchCall) -> str:
        """Return how the compiled result differs from the eager one."""
        grad = call.operator.opdef.backward is not None
        return difference(call(*call.fresh(grad=grad)), self(*call.fresh(grad=grad)))

    def compare_gradients(self, call: TorchCall) -> str:
        """Return how the compiled gradients differ from the eager ones."""
        if call.operator.opdef.backward is None or not call.has_floats:
            raise NotApplicableError("the operator has no gradient")
        return difference(gradients(call, call), gradients(self, call))


def gradients(function: Any, call: TorchCall) -> tuple[Any, ...]:  # noqa: ANN401 - a call or a graph
    """Return the gradients of all inputs, for one fixed weighting of the outputs."""
    tensors = call.fresh(grad=True)
    total: Any = 0
    for output in tuple_of(function(*tensors)):
        if output.is_floating_point():
            weights = torch.linspace(0.5, 1.5, max(output.numel(), 1))[: output.numel()]
            total = total + (output.float() * weights.reshape(output.shape)).sum()
    total.backward()
    return tuple(tensor.grad for tensor in tensors)
