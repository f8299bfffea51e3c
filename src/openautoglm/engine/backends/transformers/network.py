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
    from collections.abc import Callable, Sequence

_SHORT: Final = (1, 2, 3)
_LONG: Final = (3, 1, 2, 3, 1, 2, 2, 1)
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
        return self._is_same(_padded)

    @cached_property
    def can_join(self) -> bool:
        """Whether rows may come into a batch that is under way; tried once."""
        return self.can_share and self._is_same(_joined)

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

    def next(self, tokens: Sequence[int], places: Places) -> torch.Tensor:
        """Read one token a row; return the logits of the next ones [rows, vocabulary]."""
        model = self._open()
        ids = torch.tensor(tokens, device=model.device).unsqueeze(1)
        places.grow()
        positions = places.mask.sum(1, keepdim=True) - 1
        return self._forward(ids, positions, places)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, places: Places) -> torch.Tensor:
        arguments = {"past_key_values": places.cache, "use_cache": True}
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

    def _is_same(self, begin: Callable[[Network], tuple[torch.Tensor, Places]]) -> bool:
        """Return whether the short prompt's row goes on as alone from a batch in which it is first.

        It makes a step beside the other row, and one after that has left.
        """
        plain = Network(self._open(), eos=self.eos, pad=self._pad)  # nothing is compiled for this
        try:
            logits, alone = plain.first([_SHORT])
            expected = [logits[0], plain.next([1], alone)[0], plain.next([2], alone)[0]]
            logits, places = begin(plain)
            found = [logits[0], plain.next([1, 2], places)[0]]
            places.keep([0])
            found.append(plain.next([2], places)[0])
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            return False
        pairs = zip(expected, found, strict=True)
        return all(self._are_near(left, right) for left, right in pairs)

    def _are_near(self, left: torch.Tensor, right: torch.Tensor) -> bool:
        limit = _NEAR.get(self._open().dtype, _NEAR_HALF)
        return float((left - right).norm()) <= limit * float(left.norm())


def _padded(network: Network) -> tuple[torch.Tensor, Places]:
    return network.first([_SHORT, _LONG])


def _joined(network: Network) -> tuple[torch.Tensor, Places]:
    logits, places = network.first([_SHORT])
    places.join(network.first([_LONG])[1])
    return logits, places


def _is_out_of_memory(error: BaseException) -> bool:
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
