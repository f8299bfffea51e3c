"""Which replacement a module might have, by its class and parts; numbers prove it later.

Owns `propose` and `Wanted`. Knows nothing of whole models.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers.pytorch_utils import Conv1D

from openautoglm.engine.backends.transformers.injected import (
    GROUPS,
    GatedMlp,
    LinearName,
    Normalized,
    PackedLinear,
)
from openautoglm.engine.memory import free_bytes
from openautoglm.errors import InvalidParameterError
from openautoglm.ops.kernel import REFERENCE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATORS: Final = ("rms_norm", "silu_gated", "linear", "linear_bf16", "linear_int8")
"""What can be injected; `linear_int8` changes the numbers and is never chosen unasked."""
EXACT: Final = frozenset(OPERATORS[:-1])

_GATED: Final = (
    ("gate_proj", "up_proj", "down_proj"),
    ("w1", "w3", "w2"),
    ("gate_up_proj", None, "down_proj"),
)
"""Names of the parts of gated feed-forward layers: gate, up (None: gate holds both), down."""
_EPS: Final = ("variance_epsilon", "eps", "epsilon")
_SPARE: Final = 2  # times the bytes of a copy that must be free where the original stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which operators to inject.

    Attributes:
        operators: their names.
        is_measured: whether each must prove itself not slower than torch.
    """

    operators: frozenset[str]
    is_measured: bool

    @classmethod
    def read(cls, option: object) -> Wanted:
        """Read the option `kernels`: "auto", "off", or names of operators.

        Raises:
            InvalidParameterError: it is something else.
        """
        if option == "auto":
            return cls(operators=EXACT, is_measured=True)
        if option == "off":
            return cls(operators=frozenset(), is_measured=False)
        names = option.split(",") if isinstance(option, str) else option
        if not isinstance(names, list | tuple) or not set(names) <= set(OPERATORS):
            raise InvalidParameterError(
                "`kernels` is neither a word nor names of operators that can be injected",
                got=repr(option),
                fix=f'kernels="auto", "off", or some of {", ".join(OPERATORS)}',
            )
        return cls(operators=frozenset(names), is_measured=False)

    def linear(self, dtype: torch.dtype) -> LinearName | None:
        """Return the operator for a matrix of this dtype."""
        if "linear_int8" in self.operators:
            return "linear_int8"
        if dtype == torch.float32 and "linear" in self.operators:
            return "linear"
        is_unasked = self.is_measured and dtype != torch.bfloat16
        return "linear_bf16" if "linear_bf16" in self.operators and not is_unasked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A replacement that has yet to prove itself.

    Attributes:
        replacement: the module that may take the place.
        operators: those it calls, the one that says what it is last.
        width: values of a row that goes in.
        uses: children of the original that it stands for.
        likeness: equal for modules of which only one need be timed.
    """

    replacement: nn.Module
    operators: tuple[str, ...]
    width: int
    uses: tuple[str, ...] = ()
    likeness: object = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a module stays as it was."""

    reason: str


def propose(module: nn.Module, wanted: Wanted) -> Iterator[Proposal | Refusal]:
    """Yield what may take a module's place, the best first; nothing for what is no candidate."""
    if isinstance(module, nn.Linear | Conv1D):
        yield _linear(module, wanted)
    elif "norm" in type(module).__name__.lower() and "rms_norm" in wanted.operators:
        yield from _norms(module)
    elif "silu_gated" in wanted.operators:
        yield from _gated(module, wanted)


def is_matrix(module: nn.Module) -> bool:
    """Return whether a module is a linear layer as torch or one of the library's models has it."""
    kind = type(module)
    if kind in {nn.Linear, Conv1D}:
        return True
    return isinstance(module, nn.Linear) and kind.__module__.startswith("transformers.models.")


def _objection(module: nn.Module) -> Refusal | None:
    """Return what forbids to replace a module, whatever it computes."""
    if any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)):  # noqa: SLF001 - torch has no public question for them
        return Refusal("it has hooks")
    if "forward" in vars(module) or hasattr(module, "_hf_hook"):
        return Refusal("its `forward` was replaced already")
    if parametrize.is_parametrized(module):
        return Refusal("its weights are parametrized")
    if len(inspect.signature(module.forward).parameters) != 1:
        return Refusal("it takes more than rows")
    return None


def _linear(module: nn.Module, wanted: Wanted) -> Proposal | Refusal:
    if not is_matrix(module):
        return Refusal("it is a linear layer of its own kind, quantised perhaps")
    found = _objection(module) or _matrix_objection(module, wanted)
    if found is not None:
        return found
    weight, bias = _matrix(module)
    operator = _named(wanted, weight)
    replacement = PackedLinear(weight, bias, operator)
    return Proposal(
        replacement=replacement,
        operators=(operator,),
        width=weight.shape[1],
        likeness=(operator, tuple(weight.shape), bias is None),
    )


def _named(wanted: Wanted, weight: torch.Tensor) -> LinearName:
    operator = wanted.linear(weight.dtype)
    if operator is None:
        raise AssertionError("asked before")
    return operator


def _matrix(module: nn.Module) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return weight (outputs, depth) and bias of a linear layer."""
    weight, bias = module.weight.detach(), module.bias
    bias = None if bias is None else bias.detach()
    return (weight.T if isinstance(module, Conv1D) else weight), bias


def _matrix_objection(module: nn.Module, wanted: Wanted) -> Refusal | None:
    weight = module.weight
    if type(weight) is not nn.Parameter:
        return Refusal("its weight is no plain parameter")
    if weight.device.type != "cpu":
        return Refusal(f"there is no kernel of ours for {weight.device.type}")
    operator = wanted.linear(weight.dtype)
    if operator is None:
        return Refusal(f"no operator that is wanted multiplies {str(weight.dtype)[6:]}")
    depth = _matrix(module)[0].shape[1]
    if depth % GROUPS[operator]:
        return Refusal(f"its depth {depth} is no multiple of {GROUPS[operator]}")
    if free_bytes() < _SPARE * weight.numel() * weight.element_size():
        return Refusal("memory is too short for a packed copy")
    return _lacks_kernel(operator)


def _lacks_kernel(operator: str) -> Refusal | None:
    from openautoglm.ops import catalog

    kernels = [kernel.name for kernel in catalog.get(operator).table.kernels]
    is_bare = all(name == REFERENCE_NAME for name in kernels)
    return Refusal(f"`{operator}` has only its reference here") if is_bare else None


def _norms(module: nn.Module) -> Iterator[Proposal | Refusal]:
    """Yield `rms_norm` with the weight as it is, then with one plus the weight."""
    eps = next((getattr(module, name) for name in _EPS if hasattr(module, name)), None)
    weight: Any = getattr(module, "weight", None)
    if not isinstance(eps, float) or type(weight) is not nn.Parameter or weight.ndim != 1:
        yield Refusal("it does not compute rms_norm")
        return
    found = _objection(module)
    if found is None and weight.device.type != "cpu":
        found = _lacks_cuda(weight, eps)
    found = found or _lacks_kernel("rms_norm")
    if found is not None:
        yield found
        return
    plain = weight.detach()
    for variant in (plain, 1 + plain):
        yield Proposal(
            replacement=Normalized(variant.clone(), eps),
            operators=("rms_norm",),
            width=weight.shape[0],
            likeness=("rms_norm", type(module), tuple(weight.shape), weight.dtype),
        )


def _lacks_cuda(weight: torch.Tensor, eps: float) -> Refusal | None:
    from openautoglm.ops import catalog

    winner = catalog.get("rms_norm").explain(weight[None], weight, eps).winner
    return Refusal("there is no kernel of ours for cuda") if winner == REFERENCE_NAME else None


def _gated(module: nn.Module, wanted: Wanted) -> Iterator[Proposal | Refusal]:
    children = {name for name, _ in module.named_children()}
    names = next((each for each in _GATED if children >= set(each) - {None}), None)
    if names is None:
        return
    uses = tuple(name for name in names if name is not None)
    parts = [module.get_submodule(name) for name in uses]
    if not all(is_matrix(part) for part in parts):
        return
    objections = [_objection(module), *(_objection(part) for part in parts)]
    objections += [_matrix_objection(part, wanted) for part in parts]
    objections += [_lacks_kernel("silu_gated"), _unlike(module, names)]
    found = next((each for each in objections if each is not None), None)
    if found is not None:
        yield found
        return
    gate, up, down = _halves(module, names)
    operator = _named(wanted, down[0])
    yield Proposal(
        replacement=GatedMlp(gate, up, down, operator),
        operators=(operator, "silu_gated"),
        width=gate[0].shape[1],
        uses=uses,
        likeness=(operator, "silu_gated", tuple(gate[0].shape), down[1] is None),
    )


_Names = tuple[str, str | None, str]
_Half = tuple[torch.Tensor, torch.Tensor | None]


def _halves(module: nn.Module, names: _Names) -> tuple[_Half, _Half, _Half]:
    """Return weight and bias of gate, up and down."""
    first = _matrix(module.get_submodule(names[0]))
    down = _matrix(module.get_submodule(names[2]))
    if names[1] is not None:
        return first, _matrix(module.get_submodule(names[1])), down
    gate, up = first[0].chunk(2)
    biases = (None, None) if first[1] is None else first[1].chunk(2)
    return (gate, biases[0]), (up, biases[1]), down


def _unlike(module: nn.Module, names: _Names) -> Refusal | None:
    """Refuse a layer with another activation before its weights are packed."""
    gate, up, down = _halves(module, names)
    if (gate[1] is None) != (up[1] is None):
        return Refusal("its halves differ in having a bias")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, gate[0].shape[1], generator=generator).to(gate[0].dtype)
    linear = nn.functional.linear
    expected = linear(nn.functional.silu(linear(x, *gate)) * linear(x, *up), *down)
    if torch.allclose(module(x), expected, rtol=1e-3, atol=float(expected.abs().max()) * 1e-3):
        return None
    return Refusal("it does not compute silu_gated")
