"""vmap over an operator: one call where shapes allow any leading sizes, else one call a slice."""

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
        slices = [
            value.unbind(dim) if dim is not None else (value,) * info.batch_size
            for value, dim in zip(args, in_dims, strict=True)
        ]
        results = [overload(*one) for one in zip(*slices, strict=True)]
        if outputs == 1:
            return torch.stack(results), 0
        stacked = tuple(torch.stack([one[i] for one in results]) for i in range(outputs))
        return stacked, (0,) * outputs

    return rule
