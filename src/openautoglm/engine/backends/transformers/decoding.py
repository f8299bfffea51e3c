"""The decode loop: many rows at once, each with its own stop, seed, grammar and clock.

Owns `Network`, `Row` and `decode`. Knows nothing of folders, templates or tokenizers. Without the
library's own `generate`, so that streaming, cancelling and stopping are exact to the token.
"""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any, final

import torch
import torch._dynamo.exc as dynamo
from transformers import DynamicCache

from openautoglm.engine.backends.transformers.penalties import adjust
from openautoglm.engine.generation import FinishReason, Generation, Timings
from openautoglm.errors import (
    BackendUnavailableError,
    EngineClosedError,
    ModelTooLargeError,
    OpenAutoGLMError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from openautoglm.engine.backend import Request
    from openautoglm.engine.stopping import Stopping
    from openautoglm.engine.structured import TokenConstraint


@final
class Row:
    """One answer in the making: its tokens, its text, and why it ended.

    Args:
        request: what was asked.
        prompt: token ids the model reads, at least one.
        room: most tokens to generate.
        text: turns tokens into text, up to a stop string.
        constraint: says which tokens may come next, or None for all.
        queued_s: when the request was read, by `time.monotonic`.

    Attributes:
        left_out: tokens that the prompt had more.
    """

    def __init__(
        self,
        request: Request,
        *,
        prompt: Sequence[int],
        room: int,
        text: Stopping,
        constraint: TokenConstraint | None,
        queued_s: float,
    ) -> None:
        self.request = request
        self.prompt = prompt
        self.constraint = constraint
        self.reason: FinishReason | None = None
        self.error: OpenAutoGLMError | None = None
        self.tokens: list[int] = []
        self.left_out = 0
        self._room = room
        self._text = text
        self._pieces: list[str] = []
        self._count = 0
        self._queued_s = queued_s
        self._started_s = self._ended_s = queued_s
        self._first_s: float | None = None
        self._generator: torch.Generator | None = None

    def start(self) -> None:
        """Start the clock."""
        self._started_s = self._ended_s = time.monotonic()

    def generator(self, device: torch.device) -> torch.Generator:
        """Return the row's own source of chance, seeded at first use."""
        if self._generator is None:
            self._generator = torch.Generator(device=device)
            seed = self.request.params.seed
            _ = self._generator.seed() if seed is None else self._generator.manual_seed(seed)
        return self._generator

    def take(self, token: int, eos: frozenset[int]) -> str:
        """Take the next token and return the text it settles; sets `reason` when it is the last."""
        self._ended_s = time.monotonic()
        if self._first_s is None:
            self._first_s = self._ended_s - self._started_s
        if token in eos:
            return self._end("stop")
        self._count += 1
        self.tokens.append(token)
        if self.constraint is not None:
            self.constraint.accept(token)
        piece = self._text.push(token)
        if self._text.is_stopped:
            return self._end("stop", piece)
        if self.constraint is not None and self.constraint.is_done:
            return self._end("stop", piece)
        if self._count >= self._room:
            return self._end("length", piece)
        self._pieces.append(piece)
        return piece

    def allowed(self) -> NDArray[np.bool_] | None:
        """Return which tokens may come next, None for all; a grammar that gives up ends the row."""
        try:
            return None if self.constraint is None else self.constraint.mask()
        except OpenAutoGLMError as error:
            self.fail(error)
            return None

    def adjusted(self, logits: torch.Tensor, eos: frozenset[int]) -> torch.Tensor:
        """Return the row's logits [vocabulary] with its bias and penalties."""
        params = self.request.params
        may_end = frozenset() if self.constraint is not None else eos  # a constraint goes first
        try:
            return adjust(logits, params, prompt=self.prompt, answer=self.tokens, eos=may_end)
        except OpenAutoGLMError as error:
            self.fail(error)
            return logits

    def fail(self, error: OpenAutoGLMError) -> None:
        """End here because of an error."""
        self.error = error
        self._end("error")

    def cancel(self) -> str:
        """End here; return the text that was held back."""
        return self._end("cancelled")

    def generation(self, model: str) -> Generation:
        """Return the answer as it stands."""
        return Generation(
            text="".join(self._pieces),
            finish_reason=self.reason or "cancelled",
            prompt_tokens=len(self.prompt),
            completion_tokens=self._count,
            timings=Timings(
                queue_s=self._started_s - self._queued_s,
                first_token_s=self._first_s,
                total_s=self._ended_s - self._started_s,
            ),
            model=model,
            error=self.error,
            left_out=self.left_out,
        )

    def _end(self, reason: FinishReason, piece: str = "") -> str:
        piece += self._text.end()
        self._pieces.append(piece)
        self.reason = "stop" if self._text.is_stopped and reason == "length" else reason
        return piece


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
        self.is_batchable = not any(DynamicCache(config=model.config).is_linear)

    def close(self) -> None:
        """Let go of the weights, also for answers half made."""
        self._model = self._run = None

    def first(self, rows: Sequence[Row]) -> tuple[torch.Tensor, _Places]:
        """Read the prompts; return the next tokens' logits [rows, vocabulary] and the state."""
        model = self._open()
        longest = max(len(row.prompt) for row in rows)
        ids = torch.full((len(rows), longest), self._pad)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, longest - len(row.prompt) :] = torch.tensor(row.prompt)
            mask[index, longest - len(row.prompt) :] = 1
        places = _Places(mask.to(model.device), DynamicCache(config=model.config))
        positions = (places.mask.cumsum(1) - 1).clamp(min=0)
        return self._forward(ids.to(model.device), positions, places), places

    def next(self, tokens: Sequence[int], places: _Places) -> torch.Tensor:
        """Read one token a row; return the logits of the next ones [rows, vocabulary]."""
        model = self._open()
        ids = torch.tensor(tokens, device=model.device).unsqueeze(1)
        places.grow()
        positions = places.mask.sum(1, keepdim=True) - 1
        return self._forward(ids, positions, places)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, places: _Places) -> torch.Tensor:
        arguments = {"past_key_values": places.cache, "use_cache": True}
        if places.is_padded:
            arguments["attention_mask"] = places.mask
        optional = {"position_ids": positions, "logits_to_keep": 1}
        arguments |= {k: v for k, v in optional.items() if k in self._takes}
        model = self._open() if self._run is None else self._run
        try:
            with torch.inference_mode():
                logits = model(input_ids=ids, **arguments).logits[:, -1].float()
        except dynamo.TorchDynamoException as cause:
            raise BackendUnavailableError(
                "torch cannot compile this model here",
                got=str(cause).splitlines()[0][:200],
                fix="leave out `compile`",
            ) from cause
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as cause:
            if _is_out_of_memory(cause):
                raise ModelTooLargeError(
                    "memory ran out while generating",
                    got=f"{ids.shape[0]} rows of {places.mask.shape[1]} tokens",
                    fix="use a smaller batch_size, shorter prompts or a smaller dtype",
                ) from cause
            raise
        if bool(torch.isnan(logits).any()):
            raise WeightsCorruptError(
                "the model computes numbers that are not numbers (NaN)",
                fix='use dtype="float32"; if it stays so, the weights are damaged',
            )
        return logits

    def _open(self) -> torch.nn.Module:
        if self._model is None:
            raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
        return self._model


@final
class _Places:
    """Which positions of each row are real, and the keys and values there."""

    def __init__(self, mask: torch.Tensor, cache: DynamicCache) -> None:
        self.mask = mask
        self.cache = cache
        self.is_padded = not bool(mask.all())

    def grow(self) -> None:
        self.mask = torch.cat([self.mask, self.mask.new_ones(self.mask.shape[0], 1)], dim=1)

    def keep(self, rows: Sequence[int]) -> None:
        if len(rows) < self.mask.shape[0]:
            indices = torch.tensor(rows, device=self.mask.device)
            self.mask = self.mask[indices]
            self.cache.batch_select_indices(indices)


def decode(network: Network, rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """Generate all rows together; yield (row, piece of its text) for each token of each.

    A row is finished when its `reason` is set; the others go on without it.
    """
    for row in rows:
        row.start()
        if row.request.cancel.is_set():
            yield row, row.cancel()
    active = [row for row in rows if row.reason is None]
    if not active:
        return
    logits, places = network.first(active)
    while True:
        tokens = choose(logits, active, network.eos)
        for row, token in zip(active, tokens, strict=True):
            yield row, row.take(token, network.eos) if row.reason is None else ""
            if row.reason is None and row.request.cancel.is_set():
                yield row, row.cancel()
        stay = [index for index, row in enumerate(active) if row.reason is None]
        if not stay:
            return
        places.keep(stay)
        active = [active[index] for index in stay]
        logits = network.next([tokens[index] for index in stay], places)


def choose(
    logits: torch.Tensor, rows: Sequence[Row], eos: frozenset[int] = frozenset()
) -> list[int]:
    """Choose the next token of each row from its logits [rows, vocabulary]; changes them."""
    with torch.inference_mode():
        for index, row in enumerate(rows):
            if row.request.params.beyond_basic:
                logits[index] = row.adjusted(logits[index], eos)
            allowed = row.allowed()
            if allowed is not None:
                mask = torch.from_numpy(allowed).to(logits.device)
                logits[index].masked_fill_(~mask, -torch.inf)
        tokens: list[int] = logits.argmax(dim=-1).tolist()
        for index, row in enumerate(rows):
            if row.request.params.temperature > 0:
                tokens[index] = sample(logits[index], row)
    return tokens


def sample(logits: torch.Tensor, row: Row) -> int:
    """Draw a token from one row's logits [vocabulary] by temperature, top-k, top-p, then min-p."""
    params = row.request.params
    values, tokens = logits.sort(descending=True, stable=True)
    values = (values - values[0]) / params.temperature
    if params.top_k:
        values, tokens = values[: params.top_k], tokens[: params.top_k]
    chances = values.softmax(dim=-1)
    if params.top_p < 1:
        before = chances.cumsum(dim=-1) - chances
        chances = chances.masked_fill(before >= params.top_p, 0.0)
    chances = chances.masked_fill(chances < params.min_p * chances[0], 0.0)
    drawn = torch.multinomial(chances, 1, generator=row.generator(logits.device))
    return int(tokens[drawn])


def _is_out_of_memory(error: BaseException) -> bool:
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
