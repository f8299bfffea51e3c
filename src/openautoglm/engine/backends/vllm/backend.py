"""The `vllm` backend: requests in, generations out, one engine of vLLM that decodes them together.

Owns `VllmBackend`. Knows nothing of how the engine got here.
"""

from __future__ import annotations

import gc
import weakref
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol, final

from openautoglm.engine.backend import room_for
from openautoglm.engine.backends.native.answer import Answer, noting, streamed
from openautoglm.engine.backends.native.batch import Window
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.engine.backends.native.worker import Worker
from openautoglm.engine.backends.vllm.lora import check_adapter
from openautoglm.engine.shortening import fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.engine.adapter import Adapter
    from openautoglm.engine.backend import ModelInfo, Request
    from openautoglm.engine.backends.native.batch import Tell
    from openautoglm.engine.backends.native.text.tokens import Tokens
    from openautoglm.engine.backends.native.worker import Steps
    from openautoglm.engine.generation import Generation
    from openautoglm.engine.shortening import Part

WINDOWS: Final = 4
"""Rows of a batch under way at once, for each sequence that vLLM decodes at once."""


class Loaded(Protocol):
    """A model that vLLM has loaded."""

    @property
    def adapter_rank(self) -> int:
        """The highest rank of adapters that it takes; 0 for none."""

    def decoder(self) -> Steps:
        """Return what decodes with it; called on the one thread that does."""

    def close(self) -> None:
        """Give its memory back; harmless when done already."""


@final
class VllmBackend:
    """Generate with vLLM, many requests at once.

    Every `stream` and every row of a `batch` is a request of one engine, which a thread of this
    backend steps; prompts are read on the caller's thread.

    Args:
        model: what vLLM has loaded; closed with the backend.
        tokens: reads prompts; closed with the backend.
        info: what was loaded; its context length is known.
        gives_up: the part that a message which is too long loses instead of being refused.
    """

    def __init__(
        self, model: Loaded, tokens: Tokens, info: ModelInfo, *, gives_up: Part | None = None
    ) -> None:
        self._model = model
        self._tokens = tokens
        self._info = info
        self._gives_up = gives_up
        self._numbers = count()
        self._worker = Worker(model.decoder)
        self._end = weakref.finalize(self, _end, self._worker, model, tokens)

    def describe(self) -> ModelInfo:
        """Say what was loaded."""
        return self._info

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text as a message holds it."""
        return self._tokens.count(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        """Yield the pieces of one answer, then the answer."""
        return streamed(lambda tell: self._begin(request, tell, has_pieces=True))

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Yield position and generation as they complete; reads a window of requests at a time."""
        self._worker.check()
        return Window(
            requests,
            size=lambda _: WINDOWS * self._info.concurrency,
            begin=lambda request, tell: self._begin(request, tell, has_pieces=False),
            model=self._info.model,
        ).answers()

    def load_adapter(self, adapter: Adapter) -> None:
        """Check an adapter; vLLM loads it with the first request that has it."""
        check_adapter(adapter, most=self._model.adapter_rank)

    def unload_adapter(self, adapter: Adapter) -> None:
        """Do nothing: vLLM gives the memory of adapters to others as it needs to."""

    def close(self) -> None:
        """End what is under way and give the memory back."""
        self._end()
        gc.collect()  # what failed refers to itself through its traceback

    def _begin(self, request: Request, tell: Tell, *, has_pieces: bool) -> Answer:
        self._worker.check()
        cut = fit(
            request.prompt,
            self._tokens.encode_prompt,
            context=self._info.context_length,
            max_length=request.params.max_length,
            part=self._gives_up,
        )
        answer = Answer(
            self._sequence(request, cut.ids, is_awaited=has_pieces),
            cancel=request.cancel,
            model=self._info.model,
            tell=noting(cut.left_out, tell),
            has_pieces=has_pieces,
            text_of=None if request.params.logprobs is None else self._tokens.text_of,
        )
        self._worker.submit(answer)
        return answer

    def _sequence(self, request: Request, prompt: list[int], *, is_awaited: bool) -> Sequence:
        if request.adapter is not None:
            self.load_adapter(request.adapter)
        params, grammar = request.params, request.grammar
        context = self._info.context_length
        room = room_for(len(prompt), max_length=params.max_length, context_length=context)
        return Sequence(
            id=next(self._numbers),
            prompt=tuple(prompt),
            max_tokens=room,
            min_tokens=min(params.min_tokens, room),
            params=params,
            seed=params.seed,
            eos=self._tokens.eos,
            stop=tuple(params.stop),
            text=self._tokens.stream(),
            adapter=request.adapter,
            grammar=None if grammar is None else grammar.text,
            is_awaited=is_awaited,
            is_free=request.order == "free",
        )


def _end(worker: Worker, model: Loaded, tokens: Tokens) -> None:
    worker.stop()
    model.close()
    tokens.close()
