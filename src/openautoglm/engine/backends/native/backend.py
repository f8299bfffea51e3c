"""The `native` backend: requests in, generations out, one model that is decoding.

Owns `NativeBackend`. Knows nothing of how the model got here, nor how tokens are computed.
"""

from __future__ import annotations

import gc
import secrets
import weakref
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, final

from openautoglm.engine.backend import room_for
from openautoglm.engine.backends.native.answer import Answer, noting, streamed
from openautoglm.engine.backends.native.batch import Window
from openautoglm.engine.backends.native.held_adapters import HeldAdapters
from openautoglm.engine.backends.native.processes.spread import Spread
from openautoglm.engine.backends.native.scheduling.constraint import GrammarConstraint
from openautoglm.engine.backends.native.scheduling.faces import DecodingModel
from openautoglm.engine.backends.native.scheduling.scheduler import Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.engine.backends.native.worker import Worker
from openautoglm.engine.shortening import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from openautoglm.engine.adapter import Adapter
    from openautoglm.engine.backend import ModelInfo, Request
    from openautoglm.engine.backends.native.batch import Tell
    from openautoglm.engine.backends.native.processes.pool import Pool
    from openautoglm.engine.backends.native.scheduling.faces import Sampler
    from openautoglm.engine.backends.native.scheduling.scheduler import Rules
    from openautoglm.engine.backends.native.text.tokens import Tokens
    from openautoglm.engine.generation import Generation
    from openautoglm.engine.sampling import SamplingParams
    from openautoglm.engine.shortening import Cut, Part

SEED_BITS: Final = 63


class OwnedModel(DecodingModel, Protocol):
    """A model that gives its memory back."""

    def close(self) -> None:
        """Give it back; harmless when done already."""


@final
class NativeBackend:
    """Generate with one model, many requests at once.

    Every `stream` and every row of a `batch` is a sequence of one scheduler, which a thread of
    this backend steps; prompts are read on the caller's thread. With a pool, rows of a batch may
    go to worker processes, each with a scheduler of its own. A model that has been used does not
    go along when its process forks.

    Args:
        model: computes; closed with the backend.
        sampler: chooses tokens.
        tokens: reads prompts; closed with the backend.
        info: what was loaded.
        rules: what the scheduler may do.
        gives_up: the part that a message which is too long loses instead of being refused.
        pool: worker processes for rows of batches; stopped with the backend.

    Attributes:
        again: options that load just this again, where some were left to the machine.
    """

    again: Mapping[str, object] = MappingProxyType({})

    def __init__(  # noqa: PLR0913 - what it is made of; `loading` makes it
        self,
        model: OwnedModel,
        sampler: Sampler,
        tokens: Tokens,
        info: ModelInfo,
        *,
        rules: Rules | None = None,
        gives_up: Part | None = None,
        pool: Pool | None = None,
    ) -> None:
        self._model = model
        self._tokens = tokens
        self._info = info
        self._gives_up = gives_up
        self._pool = pool
        self._adapters = HeldAdapters(model)
        self._numbers = count()
        self._worker = Worker(lambda: Scheduler(model, sampler, rules=rules))
        self._end = weakref.finalize(self, _end, self._worker, pool, model, tokens)

    @property
    def workers(self) -> list[int]:
        """Numbers of the worker processes that are ready."""
        return [] if self._pool is None else self._pool.pids

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
        if self._pool is not None:
            self._pool.check()
        spread = Spread(self.begin, self._pool, slots=self._info.concurrency)
        window = Window(requests, size=spread.size, begin=spread.begin, model=self._info.model)
        return window.answers()

    def begin(self, request: Request, tell: Tell) -> Answer:
        """Compute a request in this process; `tell` gets its generation, on another thread."""
        return self._begin(request, tell, has_pieces=False)

    def notice_steps(self, stepped: Callable[[], None]) -> None:
        """Have this called after each step from now on, on the thread that computes."""
        self._worker.stepped = stepped

    def load_adapter(self, adapter: Adapter) -> None:
        """Have an adapter beside the model; worker processes load it with its first row."""
        self._adapters.get(adapter)

    def unload_adapter(self, adapter: Adapter) -> None:
        """Give its memory back once no row has it any more."""
        self._adapters.drop(adapter)

    def close(self) -> None:
        """End what is under way and give the memory back."""
        self._end()
        gc.collect()  # what failed refers to itself through its traceback

    def _begin(self, request: Request, tell: Tell, *, has_pieces: bool) -> Answer:
        self._worker.check()
        cut = self._read(request)
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

    def _read(self, request: Request) -> Cut:
        return fit(
            request.prompt,
            self._tokens.encode_prompt,
            context=self._model.context,
            max_length=request.params.max_length,
            part=self._gives_up,
        )

    def _sequence(self, request: Request, prompt: list[int], *, is_awaited: bool) -> Sequence:
        params, grammar = request.params, request.grammar
        room = room_for(
            len(prompt), max_length=params.max_length, context_length=self._model.context
        )
        constraint = None
        if grammar is not None:
            view = self._tokens.view(self._model.vocabulary)
            constraint = GrammarConstraint(grammar.constraint(view, room))
        return Sequence(
            id=next(self._numbers),
            prompt=tuple(prompt),
            max_tokens=room,
            min_tokens=min(params.min_tokens, room),
            params=params,
            seed=_seed(params),
            eos=self._tokens.eos,
            stop=tuple(params.stop),
            text=self._tokens.stream(),
            adapter=None if request.adapter is None else self._adapters.get(request.adapter),
            constraint=constraint,
            grammar=None if grammar is None else grammar.text,
            is_awaited=is_awaited,
            is_free=request.order == "free",
        )


def _seed(params: SamplingParams) -> int | None:
    if params.temperature == 0:
        return None
    return secrets.randbits(SEED_BITS) if params.seed is None else params.seed


def _end(worker: Worker, pool: Pool | None, model: OwnedModel, tokens: Tokens) -> None:
    if pool is not None:
        pool.stop()
    worker.stop()
    model.close()
    tokens.close()
