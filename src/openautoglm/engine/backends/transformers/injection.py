"""Operators of the registry inside a loaded model: which modules they replace, and why not others.

Owns `inject`. A module is replaced only where the replacement computes the same on random rows and,
unless the operators were named, is not slower; the whole model is compared afterwards. Whatever
goes wrong leaves a module as it was.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import torch

from openautoglm.engine.backends.transformers.injected import weights_bytes
from openautoglm.engine.backends.transformers.recipes import Proposal, Refusal, Wanted, propose
from openautoglm.engine.backends.transformers.trial import agrees, is_faster, try_model
from openautoglm.errors import OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import nn

_WHOLE: Final = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""How much the logits of the whole model may differ, as a share of their norm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """What became of modules that are alike.

    Attributes:
        modules: their name in the model, `*` for the number of a layer.
        kind: their class.
        operators: those that serve them now; none where they were left as they were.
        count: how many they are.
        reason: why they were left, empty where they were not.
    """

    modules: str
    kind: str
    operators: tuple[str, ...]
    count: int
    reason: str = ""

    def __str__(self) -> str:
        what = f"{self.count} x {self.modules} ({self.kind})"
        return f"{what}: {', '.join(self.operators) or f'as it was, {self.reason}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """What became of a model's modules.

    Attributes:
        rows: for each kind of module what was done with it.
        is_equal: whether the model computes what it did before; if not, load it again.
    """

    rows: tuple[Injected, ...] = ()
    is_equal: bool = True

    def __bool__(self) -> bool:
        return any(row.operators for row in self.rows)


def inject(model: nn.Module, wanted: Wanted) -> Injection:
    """Replace what operators can compute among a model's modules, one after the other.

    A module's own weights are let go as soon as its replacement is in its place.

    Args:
        model: on its device, without gradients; it is changed.
        wanted: which operators.
    """
    if not wanted.operators:
        return Injection()
    before = try_model(model)
    if isinstance(before, Refusal):
        return Injection(rows=(_whole(model, before),))
    rows = _Walk(model, wanted, before.unfit).rows()
    _let_go_of_files(model)
    if "linear_int8" in wanted.operators:  # other numbers are what was asked for
        return Injection(rows=rows)
    after = try_model(model)
    limit = _WHOLE.get(model.dtype, _WHOLE[torch.bfloat16])
    is_equal = not isinstance(after, Refusal) and _apart(before.logits, after.logits) <= limit
    return Injection(rows=rows, is_equal=is_equal)


def _let_go_of_files(model: nn.Module) -> None:
    """Copy the weights that are left where they are few: as they lie, they keep whole files mapped.

    Of one model the packed weights are in memory, and none of the pages that they were made of.
    """
    left = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    if left <= weights_bytes(model) // 2:
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()


def given_up(model: nn.Module) -> Injection:
    """Say that a model with operators computed something else, and was loaded anew without."""
    return Injection(rows=(_whole(model, Refusal("with operators the model's logits differ")),))


def _whole(model: nn.Module, why: Refusal) -> Injected:
    kind = type(model).__name__
    return Injected(modules="the model", kind=kind, operators=(), count=1, reason=why.reason)


def _apart(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).norm() / left.norm().clamp(min=1e-30))


@final
class _Walk:
    """One pass through a model's modules, outermost first."""

    def __init__(self, model: nn.Module, wanted: Wanted, unfit: dict[str, str]) -> None:
        self._model = model
        self._wanted = wanted
        self._unfit = unfit
        self._faster: dict[object, bool] = {}
        self._found: Counter[tuple[str, str, tuple[str, ...], str]] = Counter()

    def rows(self) -> tuple[Injected, ...]:
        """Replace what can be replaced; return what was done."""
        names = [name for name, _ in self._model.named_modules() if name]
        places = _places(self._model)
        done: list[str] = []
        for name in names:
            if any(name.startswith(f"{outer}.") for outer in done):
                continue
            module = self._model.get_submodule(name)
            kind = type(module).__name__
            found = self._replacement(name, module)
            if isinstance(found, Refusal):
                self._count(name, kind, (), found.reason)
            elif found is not None:
                _put(found.replacement, places[id(module)])
                self._count(name, kind, found.operators, "")
                done.append(name)
        return tuple(
            Injected(modules=name, kind=kind, operators=operators, count=count, reason=reason)
            for (name, kind, operators, reason), count in self._found.items()
        )

    def _replacement(self, name: str, module: nn.Module) -> Proposal | Refusal | None:
        """Return what takes a module's place, why nothing does, or None where nothing could."""
        refusal = None
        try:
            for proposal in propose(module, self._wanted):
                if isinstance(proposal, Refusal):
                    refusal = proposal
                    continue
                refusal = self._objection(name, module, proposal)
                if refusal is None:
                    return proposal
        except (OpenAutoGLMError, ArithmeticError, LookupError, RuntimeError, TypeError) as error:
            return Refusal(f"{type(error).__name__}: {str(error).splitlines()[0][:80]}")
        return refusal

    def _objection(self, name: str, module: nn.Module, proposal: Proposal) -> Refusal | None:
        inside = [self._unfit.get(name), *(self._unfit.get(f"{name}.{c}") for c in proposal.uses)]
        reason = next((each for each in inside if each), None)
        if reason is not None:
            return Refusal(reason)
        if not agrees(module, proposal):
            return Refusal(f"it does not compute {proposal.operators[-1]}")
        if not self._wanted.is_measured:
            return None
        if proposal.likeness not in self._faster:
            self._faster[proposal.likeness] = is_faster(module, proposal)
        return None if self._faster[proposal.likeness] else Refusal("torch is faster here")

    def _count(self, name: str, kind: str, operators: tuple[str, ...], reason: str) -> None:
        self._found[re.sub(r"\b\d+\b", "*", name), kind, operators, reason] += 1


_Place = tuple["nn.Module", str]


def _places(model: nn.Module) -> dict[int, list[_Place]]:
    """Return for each module, by its identity, whose children it is and under which names."""
    found: dict[int, list[_Place]] = {}
    for parent in model.modules():
        for name, child in parent._modules.items():  # noqa: SLF001 - `named_children` leaves out a second name
            if child is not None:
                found.setdefault(id(child), []).append((parent, name))
    return found


def _put(replacement: nn.Module, places: Sequence[_Place]) -> None:
    for parent, name in places:
        parent._modules[name] = replacement  # noqa: SLF001 - works for lists of modules as well


def explained(rows: Iterable[Injected]) -> tuple[str, ...]:
    """Return a line for each kind of module, what was replaced first."""
    return tuple(str(row) for row in sorted(rows, key=lambda row: not row.operators))
