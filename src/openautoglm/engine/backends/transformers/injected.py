"""The modules that take the place of a model's own: thin shells around operators of the registry.

Owns `PackedLinear`, `Normalized` and `GatedMlp`. They hold the operators themselves, so a kernel
that is replaced serves the next call, and `torch.compile` sees the operators' own torch operators.
Whether one of them computes what a module does is not known here: `injection` finds out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import torch
from torch import nn

from openautoglm.ops import catalog
from openautoglm.ops.library.linear import BLOCK, quantize

if TYPE_CHECKING:
    from openautoglm.ops.registered import RegisteredOperator

LinearName: TypeAlias = Literal["linear", "linear_bf16", "linear_int8"]
"""The operators that multiply rows by packed weights."""
GROUPS: Final[dict[LinearName, int]] = {"linear": 1, "linear_bf16": 2, "linear_int8": 4}
"""Steps of the depth that lie side by side in the weights of each."""


def pack(weight: torch.Tensor, group: int) -> torch.Tensor:
    """Return (outputs, depth) as (blocks, depth / group, 16, group), or without a group of one."""
    outputs, depth = weight.shape
    filled = nn.functional.pad(weight, (0, 0, 0, -outputs % BLOCK))
    grouped = filled.unflatten(0, (-1, BLOCK)).unflatten(2, (depth // group, group))
    ordered = grouped.transpose(1, 2).contiguous()
    return ordered.squeeze(-1) if group == 1 else ordered


class _Shell(nn.Module):  # type: ignore[misc]  # torch has no types here
    """A module without gradients that computes with operators."""


@final
class PackedLinear(_Shell):
    """Multiply rows (..., depth) by weights that one of the linear operators takes packed.

    Rows of another dtype than f32 are widened, and the result has their dtype again.

    Args:
        weight: (outputs, depth), f32 or bf16; it is not kept.
        bias: (outputs,) or None.
        operator: which operator; `linear_bf16` and `linear_int8` round f32 weights.
    """

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, operator: LinearName
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self._is_filled = self.out_features % BLOCK > 0
        self._group = GROUPS[operator]
        self._operator: RegisteredOperator = catalog.get(operator)
        self._add("scale", None)
        if operator == "linear_int8":
            whole, scale = quantize(weight.float().numpy())
            self._add("packed", pack(torch.from_numpy(whole), self._group))
            self._add("scale", _blocked(torch.from_numpy(scale)))
        else:
            dtype = torch.float32 if operator == "linear" else torch.bfloat16
            self._add("packed", pack(weight.to(dtype), self._group))
        self._add("packed_bias", None if bias is None else _blocked(bias.float()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., outputs)."""
        if x.dtype is not torch.float32:
            return self.forward(x.float()).to(x.dtype)
        result = self.blocks(x).flatten(-2)
        if self._is_filled:
            result = result[..., : self.out_features]
        return result

    def blocks(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., blocks, 16), the outputs filled up to whole blocks, for rows of f32."""
        rows = x.contiguous()
        if self._group > 1:
            rows = rows.unflatten(-1, (-1, self._group))
        if self._group == GROUPS["linear_int8"]:
            return self._operator(rows, self.packed, self.scale, self.packed_bias, None)
        return self._operator(rows, self.packed, self.packed_bias, None)

    def _add(self, name: str, value: torch.Tensor | None) -> None:
        self.register_buffer(name, value, persistent=False)


@final
class Normalized(_Shell):
    """Normalise rows by their root mean square with `rms_norm`.

    Args:
        weight: (n,) or None, in the rows' dtype.
        eps: is added to the mean of squares.
    """

    def __init__(self, weight: torch.Tensor | None, eps: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self._eps = eps
        self._operator: RegisteredOperator = catalog.get("rms_norm")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what has the shape and dtype of `x`."""
        return self._operator(x, self.weight, self._eps)


@final
class GatedMlp(_Shell):
    """Compute down(silu(gate(x)) * up(x)) in three calls, of which the first makes both halves.

    Args:
        gate: weight (inner, depth) and bias.
        up: weight (inner, depth) and bias; with a bias where gate has one.
        down: weight (outputs, inner) and bias.
        operator: the linear operator.
    """

    def __init__(
        self,
        gate: tuple[torch.Tensor, torch.Tensor | None],
        up: tuple[torch.Tensor, torch.Tensor | None],
        down: tuple[torch.Tensor, torch.Tensor | None],
        operator: LinearName,
    ) -> None:
        super().__init__()
        missing = -gate[0].shape[0] % BLOCK  # each half is whole blocks; zeros stay zeros
        halves = [nn.functional.pad(part[0], (0, 0, 0, missing)) for part in (gate, up)]
        biases = [nn.functional.pad(b, (0, missing)) for _, b in (gate, up) if b is not None]
        bias = torch.cat(biases) if biases else None
        self.gate_up = PackedLinear(torch.cat(halves), bias, operator)
        self.down = PackedLinear(nn.functional.pad(down[0], (0, missing)), down[1], operator)
        self._operator: RegisteredOperator = catalog.get("silu_gated")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., outputs) for (..., depth)."""
        both = self.gate_up.blocks(x.float()).flatten(-2).unflatten(-1, (2, -1))
        inner: torch.Tensor = self._operator(both)
        return self.down(inner).to(x.dtype)


def _blocked(values: torch.Tensor) -> torch.Tensor:
    """Return (outputs,) as (blocks, 16), filled up with zeros."""
    return nn.functional.pad(values, (0, -values.shape[0] % BLOCK)).unflatten(0, (-1, BLOCK))


def weights_bytes(model: nn.Module) -> int:
    """Return what a model's weights take, those of replaced modules included."""
    shells = [module for module in model.modules() if isinstance(module, _Shell)]
    tensors = [*model.parameters(), *(b for each in shells for b in each.buffers(recurse=False))]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
