"""vmap over an operator: one call a slice.

A contract does not say that leading sizes are independent of each other, so slices are never
joined into one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from openautoglm.ops.opdef import OpDef
    from openautoglm.ops.torch_bridge.slots import Slots


def register_batching(opdef: OpDef, slots: Slots) -> None:
    """Register the batching rule of both torch operators."""
    if any(part.many for part in opdef.inputs):
        return
    for overload in (slots.public, slots.raw):
        torch.library.register_vmap(overload, _rule(overload, len(opdef.outputs)))


def _rule(overload: Any, outputs: int) -> Any:  # noqa: ANN401 - torch's protocol
    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:  # noqa: ANN401 - torch's protocol
        """Call the operator once a slice and stack what comes out."""
        count = max(info.batch_size, 1)
        slices = [
            _slices(value, dim) if dim is not None else (value,) * count
            for value, dim in zip(args, in_dims, strict=True)
        ]
        results = [overload(*one) for one in zip(*slices, strict=True)]
        if info.batch_size == 0:
            return _none_of(results[0]), 0 if outputs == 1 else (0,) * outputs
        if outputs == 1:
            return torch.stack(results), 0
        stacked = tuple(torch.stack([one[i] for one in results]) for i in range(outputs))
        return stacked, (0,) * outputs

    return rule


def _slices(value: Any, dim: int) -> Any:  # noqa: ANN401 - a tensor
    """Return the slices along a dimension; where there are none, zeros that show their shape."""
    if value.shape[dim] > 0:
        return value.unbind(dim)
    return (value.new_zeros((*value.shape[:dim], *value.shape[dim + 1 :])),)


def _none_of(result: Any) -> Any:  # noqa: ANN401 - a tensor, or a tuple of them
    if isinstance(result, tuple):
        return tuple(_none_of(one) for one in result)
    return result.new_empty((0, *result.shape))
