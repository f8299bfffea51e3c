"""One answer in the making: its tokens, its text, and why it ended.

Owns `Row`. Knows nothing of the model, nor of the rows beside it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

import torch

from openautoglm.engine.backends.transformers.penalties import adjust
from openautoglm.engine.generation import FinishReason, Generation, Timings
from openautoglm.errors import OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        known: how many tokens of prompt and answer the model has read.
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
        self.known = 0
        self._room = room
        self._text = text
        self._pieces: list[str] = []
        self._count = 0
        self._queued_s = queued_s
        self._started_s = self._ended_s = queued_s
        self._is_started = False
        self._first_s: float | None = None
        self._generator: torch.Generator | None = None

    @property
    def read(self) -> Sequence[int]:
        """What the model reads before it goes on: the prompt, and the answer as far as it is."""
        return [*self.prompt, *self.tokens] if self.tokens else self.prompt

    @property
    def lag(self) -> int:
        """How many tokens the model has yet to read before the next one can be chosen."""
        return len(self.prompt) + len(self.tokens) - self.known

    def unread(self, most: int) -> Sequence[int]:
        """Return up to so many tokens of the answer that the model has yet to read, the first."""
        start = self.known - len(self.prompt)
        return self.tokens[start : start + most]

    def start(self, eos: frozenset[int]) -> str:
        """Start the clock at the first call; take what must come first, and return its text."""
        if self._is_started:
            return ""
        self._started_s = self._ended_s = time.monotonic()
        self._is_started = True
        return self._take(self._forced(), eos)

    def generator(self, device: torch.device) -> torch.Generator:
        """Return the row's own source of chance, seeded at first use."""
        if self._generator is None:
            self._generator = torch.Generator(device=device)
            seed = self.request.params.seed
            _ = self._generator.seed() if seed is None else self._generator.manual_seed(seed)
        return self._generator

    def take(self, token: int, eos: frozenset[int]) -> str:
        """Take the token that was chosen, and those that the constraint forces after it.

        Returns the text they settle; sets `reason` when the last is among them.
        """
        return self._take([token], eos)

    def _take(self, tokens: Sequence[int], eos: frozenset[int]) -> str:
        pieces: list[str] = []
        try:
            while tokens:
                pieces += [self._add(token, eos) for token in tokens if self.reason is None]
                tokens = self._forced()
        except OpenAutoGLMError as error:
            self.fail(error)
        return "".join(pieces)

    def _forced(self) -> Sequence[int]:
        """Return what must come next, and would be chosen token by token."""
        return [] if self.reason or self.constraint is None else self.constraint.forced()

    def _add(self, token: int, eos: frozenset[int]) -> str:
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
