"""A loaded model as the decode loop sees it: prompts and tokens in, logits and state out.

Owns `Network`. Knows nothing of requests, and has no loop of its own.
"""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, final

import torch
from transformers import DynamicCache

from openautoglm.engine.backends.transformers.places import Places
from openautoglm.errors import BackendUnavailableError, EngineClosedError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    _Trial = Callable[["Network"], Iterator[torch.Tensor]]

_SHORT: Final = (1, 2, 3)
_LONG: Final = (3, 1, 2, 3, 1, 2, 2, 1)
_RUN: Final = (1, 2, 1, 3, 2)  # longer than what short convolutions look back on
_PAIR: Final = (2, 1)
_NEAR: Final = {torch.float32: 1e-3}
_NEAR_HALF: Final = 0.05
"""How much logits may differ, as a share of their norm, in float32 and in half precision."""

_COMPILER: Final = ("torch._dynamo", "torch._inductor", "torch._functorch")
"""Where the compiler's errors are from; importing them would take a second."""


@final
class Network:
    """A loaded causal language model and what its forward pass takes.

    Args:
        model: a module whose `forward` takes ids and a cache and gives logits.
        eos: tokens that end a text.
        pad: any token; where it stands the attention mask is 0.
        compiler: the backend of `torch.compile` it goes through, None for none.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        eos: frozenset[int],
        pad: int,
        compiler: str | None = None,
    ) -> None:
        self._model: torch.nn.Module | None = model
        self._run: Callable[..., Any] | None = model
        if compiler is not None:
            self._run = torch.compile(model, backend=compiler, dynamic=True)
        self.eos = eos
        self._pad = pad
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        self._state = "cache_params" if "cache_params" in self._takes else "past_key_values"

    def close(self) -> None:
        """Let go of the weights, also for answers half made."""
        self._model = self._run = None

    @cached_property
    def can_share(self) -> bool:
        """Whether a row's logits stay what they are beside a longer row; tried once.

        A model that counts positions over padding, or whose state has none, would answer
        something else: its rows are decoded one at a time.
        """
        if any(DynamicCache(config=self._open().config).is_linear):
            return False
        return self._agree(_alone, _padded)

    @cached_property
    def can_join(self) -> bool:
        """Whether rows may come into a batch that is under way; tried once."""
        return self.can_share and self._agree(_alone, _joined)

    @cached_property
    def can_jump(self) -> bool:
        """Whether a row alone may read several tokens in a step; tried once."""
        return self._agree(_read, _jumped)

    @cached_property
    def can_mix(self) -> bool:
        """Whether each row of a batch may read a number of tokens of its own; tried once."""
        return self.can_share and self._agree(_read, _mixed)

    def first(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, Places]:
        """Read the prompts; return the next tokens' logits [rows, vocabulary] and the state."""
        model = self._open()
        longest = max(len(prompt) for prompt in prompts)
        ids = torch.full((len(prompts), longest), self._pad)
        mask = torch.zeros((len(prompts), longest), dtype=torch.long)
        for index, prompt in enumerate(prompts):
            ids[index, longest - len(prompt) :] = torch.tensor(prompt)
            mask[index, longest - len(prompt) :] = 1
        places = Places(mask.to(model.device), DynamicCache(config=model.config))
        positions = (places.mask.cumsum(1) - 1).clamp(min=0)
        return self._forward(ids.to(model.device), positions, places), places

    def next(self, tokens: Sequence[Sequence[int]], places: Places) -> torch.Tensor:
        """Read the next tokens of each row; return the logits after them [rows, vocabulary].

        Args:
            tokens: one for each row; more where `can_jump` and, of several rows, `can_mix`.
            places: the rows' state.
        """
        model = self._open()
        counts = [len(each) for each in tokens]
        longest = max(counts)
        ids = torch.tensor([[self._pad] * (longest - len(each)) + [*each] for each in tokens])
        places.grow(counts)
        positions = (places.mask.cumsum(1)[:, -longest:] - 1).clamp(min=0)
        logits = self._forward(ids.to(model.device), positions, places)
        places.close(counts)
        return logits

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, places: Places) -> torch.Tensor:
        arguments = {self._state: places.cache, "use_cache": True}
        if places.is_padded:
            arguments["attention_mask"] = places.mask
        optional = {"position_ids": positions, "logits_to_keep": 1}
        arguments |= {k: v for k, v in optional.items() if k in self._takes}
        model = self._open() if self._run is None else self._run
        try:
            with torch.inference_mode():
                return model(input_ids=ids, **arguments).logits[:, -1].float()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as cause:
            if _is_out_of_memory(cause):
                raise ModelTooLargeError(
                    "memory ran out while generating",
                    got=f"{ids.shape[0]} rows of {places.mask.shape[1]} tokens",
                    fix="use a smaller batch_size, shorter prompts or a smaller dtype",
                ) from cause
            if type(cause).__module__.startswith(_COMPILER):
                raise BackendUnavailableError(
                    "torch cannot compile this model here",
                    got=" ".join(str(cause).split())[:200],
                    fix="leave out `compile`",
                ) from cause
            raise

    def _open(self) -> torch.nn.Module:
        if self._model is None:
            raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
        return self._model

    def _agree(self, expected: _Trial, found: _Trial) -> bool:
        """Return whether two ways to the same tokens give the same logits."""
        plain = Network(self._open(), eos=self.eos, pad=self._pad)  # nothing is compiled for this
        try:
            pairs = list(zip(expected(plain), found(plain), strict=True))
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            return False
        return all(self._are_near(left, right) for left, right in pairs)

    def _are_near(self, left: torch.Tensor, right: torch.Tensor) -> bool:
        limit = _NEAR.get(self._open().dtype, _NEAR_HALF)
        return float((left - right).norm()) <= limit * float(left.norm())


def _alone(network: Network) -> Iterator[torch.Tensor]:
    logits, places = network.first([_SHORT])
    yield logits[0]
    for token in (1, 2):
        yield network.next([[token]], places)[0]


def _padded(network: Network) -> Iterator[torch.Tensor]:
    return _beside(network, *network.first([_SHORT, _LONG]))


def _joined(network: Network) -> Iterator[torch.Tensor]:
    logits, places = network.first([_SHORT])
    places.join(network.first([_LONG])[1])
    return _beside(network, logits, places)


def _beside(network: Network, logits: torch.Tensor, places: Places) -> Iterator[torch.Tensor]:
    """Make a step beside another row, and one after that has left."""
    yield logits[0]
    yield network.next([[1], [2]], places)[0]
    places.keep([0])
    yield network.next([[2]], places)[0]


def _read(network: Network) -> Iterator[torch.Tensor]:
    logits, places = network.first([[*_SHORT, *_RUN]])
    yield logits[0]
    for token in _PAIR:
        logits = network.next([[token]], places)
    yield logits[0]
    yield network.next([[3]], places)[0]


def _jumped(network: Network) -> Iterator[torch.Tensor]:
    _, places = network.first([_SHORT])
    for tokens in (_RUN, _PAIR, [3]):
        yield network.next([tokens], places)[0]


def _mixed(network: Network) -> Iterator[torch.Tensor]:
    """Be the row that reads more than the one beside it, then the one that reads less."""
    _, places = network.first([_SHORT, _LONG])
    for ours, theirs in ((_RUN, [2]), (_PAIR, [1, 3, 2]), ([3], [1])):
        yield network.next([ours, theirs], places)[0]


def _is_out_of_memory(error: BaseException) -> bool:
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
