"""What shows that a replacement is as good as a module: equal numbers, and no more time.

Owns `try_model`, `agrees` and `is_faster`. Random rows from a generator of their own: torch's state
of chance stays as it was.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from openautoglm.engine.backends.transformers.recipes import Refusal, is_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from openautoglm.engine.backends.transformers.recipes import Proposal

SCALES: Final = (1.0, 1e-3, 30.0)
"""Sizes of random rows: small ones show whether an epsilon is the same."""
TOLERANCE: Final = {"linear_int8": 0.1, torch.float32: 2e-5, torch.bfloat16: 0.02}
"""Largest difference, as a share of the largest value."""
DECODED_ROWS: Final = (1, 8)
"""Rows a module sees in decoding, at which it is timed."""
TIMED_S: Final = 0.05
"""For how long a module and its replacement are timed in turns, at each count of rows."""
ROUNDS: Final = 6
MARGIN: Final = 1.1
"""How much slower a replacement may seem: the machine may be busy with other things."""
_TOKENS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a model did with a few tokens.

    Attributes:
        logits: of every token, in f32.
        unfit: by name, linear layers that are used otherwise than by calling them, and how.
    """

    logits: torch.Tensor
    unfit: dict[str, str]


def try_model(model: nn.Module) -> Tried | Refusal:
    """Run a model on a few tokens, and watch how its linear layers are used."""
    pad = getattr(model.config, "pad_token_id", None)  # the library warns of it
    tokens = [token for token in range(_TOKENS) if token != pad]
    ids = torch.tensor([tokens, tokens[::-1]], device=model.device)
    layers = {n: m for n, m in model.named_modules() if is_matrix(m)}
    watched = {name: _Watch() for name in layers}
    try:
        with ExitStack() as stack:
            for name, layer in layers.items():
                stack.enter_context(_watching(layer, watched[name]))
            with torch.inference_mode():
                logits = model(input_ids=ids, use_cache=False).logits.float()
    except Exception as error:  # noqa: BLE001 - a model class raises what it likes
        return Refusal(f"a trial failed: {type(error).__name__}")
    unfit = {name: why for name, watch in watched.items() if (why := watch.objection())}
    return Tried(logits=logits, unfit=unfit)


@dataclass(slots=True)
class _Watch:
    calls: int = 0
    reads: int = 0

    def objection(self) -> str | None:
        if not self.calls:
            return "it is not called itself"
        return None if self.reads == self.calls else "its weight is read by other modules"


@contextmanager
def _watching(layer: nn.Module, watch: _Watch) -> Iterator[None]:
    """Count the calls of a layer and the looks at its weight; a call takes one look."""
    kind = type(layer)

    def forward(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
        watch.calls += 1
        return kind.forward(self, x)

    def read(self: nn.Module, name: str) -> object:
        watch.reads += name == "weight"
        return kind.__getattr__(self, name)

    layer.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__getattr__": read})
    try:
        yield
    finally:
        layer.__class__ = kind


def agrees(module: nn.Module, proposal: Proposal) -> bool:
    """Return whether a replacement computes what a module does, on rows of several sizes."""
    for scale in SCALES:
        rows = _rows(module, proposal, (2, 3)) * scale
        with torch.inference_mode():
            expected, found = module(rows), proposal.replacement(rows)
        if not isinstance(expected, torch.Tensor) or expected.shape != found.shape:
            return False
        if expected.dtype != found.dtype:
            return False
        worst = float((expected.float() - found.float()).abs().max())
        limit = TOLERANCE.get(proposal.operators[0], TOLERANCE.get(expected.dtype, 0.0))
        if not worst <= limit * float(expected.float().abs().max()):
            return False
    return True


def is_faster(module: nn.Module, proposal: Proposal) -> bool:
    """Return whether a replacement is not slower at the row counts of decoding."""
    before = after = 0.0
    with torch.inference_mode():
        for count in DECODED_ROWS:
            rows = _rows(module, proposal, (count, 1))
            taken = _best_s(partial(module, rows), partial(proposal.replacement, rows))
            before, after = before + taken[0], after + taken[1]
    return after <= before * MARGIN


def _best_s(*cases: Callable[[], object]) -> list[float]:
    best = [float("inf")] * len(cases)
    end = time.perf_counter() + TIMED_S
    rounds = 0
    while rounds < ROUNDS or time.perf_counter() < end:
        for index, case in enumerate(cases):
            start = time.perf_counter()
            case()
            best[index] = min(best[index], time.perf_counter() - start)
        rounds += 1
    return best


def _rows(module: nn.Module, proposal: Proposal, shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    like = next(module.parameters())
    return torch.randn(*shape, proposal.width, generator=generator).to(like.device, like.dtype)
