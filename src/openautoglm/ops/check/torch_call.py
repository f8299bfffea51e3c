"""One call of an operator on torch's tensors, as a function of those inputs that are tensors.

Owns `TorchCall`: what torch's checkers take. Knows no checker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from openautoglm.ops.check import oracle
from openautoglm.ops.check.memory import place, place_dense

if TYPE_CHECKING:
    from openautoglm.ops.check.sample import Sample
    from openautoglm.ops.registered import RegisteredOperator


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchCall:
    """A sample's call.

    Attributes:
        operator: what is called.
        sample: sizes, dtypes, attributes.
        tensors: all inputs that are given, those of lists one after the other.
        counts: how many tensors each input has; None for an input that is one tensor, 0 for one
            that is absent.
    """

    operator: RegisteredOperator
    sample: Sample
    tensors: tuple[Any, ...]
    counts: tuple[int | None, ...]

    def __call__(self, *tensors: Any) -> Any:  # noqa: ANN401 - tensors
        """Call the operator with other tensors in the place of its own."""
        return self.operator(*self.arguments(tensors))

    def arguments(self, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return tensors and attributes as the operator takes them."""
        made: list[Any] = []
        at = 0
        for count in self.counts:
            if count is None:
                made.append(tensors[at])
                at += 1
            elif count == 0:
                made.append(None)
            else:
                made.append(list(tensors[at : at + count]))
                at += count
        return (*made, *self.sample.attrs)

    def fresh(self, *, grad: bool = False) -> tuple[Any, ...]:
        """Return copies of the tensors; floats record gradients where `grad` says so."""
        return tuple(
            t.detach().clone().requires_grad_(grad and t.is_floating_point()) for t in self.tensors
        )

    @property
    def has_floats(self) -> bool:
        """Whether a gradient can go through any input."""
        return any(tensor.is_floating_point() for tensor in self.tensors)


def torch_call(operator: RegisteredOperator, sample: Sample) -> TorchCall:
    """Return a sample's call on torch's tensors, dense where torch has no such layout."""
    tensors: list[Any] = []
    counts: list[int | None] = []
    drawn = oracle.draw(operator.opdef, sample)
    for value, dtype, layout in zip(drawn, sample.dtypes, sample.layouts, strict=True):
        parts = value if isinstance(value, list) else [] if value is None else [value]
        for bits in parts:
            block = place(bits, dtype, layout, as_torch=True)
            tensors.append((block or place_dense(bits, dtype, as_torch=True)).array)
        counts.append(len(parts) if isinstance(value, list) or value is None else None)
    return TorchCall(operator=operator, sample=sample, tensors=tuple(tensors), counts=tuple(counts))


class _Names(TorchDispatchMode):  # type: ignore[misc]  # torch has no types here
    """Notes the torch operators of one namespace that are called inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's protocol
        types: Any,  # noqa: ANN401 - torch's protocol
        args: Any = (),  # noqa: ANN401 - torch's protocol
        kwargs: Any = None,  # noqa: ANN401 - torch's protocol
    ) -> Any:  # noqa: ANN401 - torch's protocol
        del types
        if func.namespace == "oag":
            self.names.append(func.name().partition("::")[2])
        return func(*args, **(kwargs or {}))


def public_overload(call: TorchCall) -> Any:  # noqa: ANN401 - torch's overload
    """Return the public torch operator; which name it has is seen in a call."""
    with torch.no_grad(), _Names() as seen:
        call(*call.fresh())
    return getattr(torch.ops.oag, seen.names[0].removeprefix("_")).default
