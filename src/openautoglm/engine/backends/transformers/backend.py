"""The `transformers` backend: requests in, generations out, one loaded model.

Owns `TransformersBackend`: rows, and how a batch is cut. Knows nothing of how the model got here.
"""

from __future__ import annotations

import gc
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, final

import torch

from openautoglm.engine.backend import room_for
from openautoglm.engine.backends.transformers.decoding import decode
from openautoglm.engine.backends.transformers.row import Row
from openautoglm.engine.prompt_reader import PromptReader
from openautoglm.engine.shortening import fit
from openautoglm.engine.stopping import Stopping
from openautoglm.engine.text_stream import TextStream
from openautoglm.errors import OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from openautoglm.engine.backend import ModelInfo, Request
    from openautoglm.engine.backends.transformers.network import Network
    from openautoglm.engine.generation import Generation
    from openautoglm.engine.shortening import Part
    from openautoglm.engine.structured import TokenizerView

BATCHES_IN_WINDOW: Final = 8


@final
class TransformersBackend:
    """Generate with one model that is loaded.

    A batch is read in windows of `8 * batch_size` rows, sorted by length, of which up to
    `batch_size` are generated at a time; a row that ends leaves its place to one that waits. In
    float32 a row's greedy answer is the same whatever else is in its batch.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: PreTrainedTokenizerBase,
        info: ModelInfo,
        *,
        batch_size: int,
        gives_up: Part | None = None,
    ) -> None:
        self._gives_up = gives_up
        self._network = network
        self._reader = PromptReader(tokenizer)
        self._info = info
        self._batch_size = batch_size

    def describe(self) -> ModelInfo:
        """Say what was loaded."""
        return self._info

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text as a message holds it."""
        return self._reader.count(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        """Yield the pieces of one answer, then the answer."""
        row = self._row(request, time.monotonic())
        for _, piece in decode(self._network, [[row]]):
            if piece:
                yield piece
        if row.error is not None:
            raise row.error
        yield row.generation(self._info.model)

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Generate in batches; yields rows in the order in which they end."""
        numbers: dict[Row, int] = {}
        windows = self._windows(requests, numbers)
        for row, _ in decode(self._network, windows, width=self._batch_size):
            if row.reason is not None:
                yield numbers.pop(row), row.generation(self._info.model)

    def close(self) -> None:
        """Let go of the model and give its memory back."""
        self._network.close()
        self._reader.close()
        gc.collect()  # modules refer to each other in circles
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _windows(
        self, requests: Iterable[Request], numbers: dict[Row, int]
    ) -> Iterator[Sequence[Row]]:
        """Read requests a window at a time, sorted by length: up and down in turns.

        So neighbours are of nearly one length, also where a window meets the next. Notes the
        number of each row.
        """
        numbered = enumerate(requests)
        is_falling = False
        while window := list(islice(numbered, self._batch_size * BATCHES_IN_WINDOW)):
            rows = []
            for index, request in window:
                row = self._row_or_failure(request)
                numbers[row] = index
                rows.append(row)
            yield sorted(rows, key=lambda row: len(row.prompt), reverse=is_falling)
            is_falling = not is_falling

    def _row_or_failure(self, request: Request) -> Row:
        queued_s = time.monotonic()
        try:
            return self._row(request, queued_s)
        except OpenAutoGLMError as error:
            text = Stopping(TextStream(self._reader.decode), stop=(), min_tokens=0)
            row = Row(request, prompt=(), room=0, text=text, constraint=None, queued_s=queued_s)
            row.fail(error)
            return row

    def _row(self, request: Request, queued_s: float) -> Row:
        cut = fit(
            request.prompt,
            self._reader.read,
            context=self._info.context_length,
            max_length=request.params.max_length,
            part=self._gives_up,
        )
        prompt = cut.ids
        room = room_for(
            len(prompt),
            max_length=request.params.max_length,
            context_length=self._info.context_length,
        )
        grammar = request.grammar
        row = Row(
            request,
            prompt=prompt,
            room=room,
            text=Stopping(
                TextStream(self._reader.decode),
                stop=request.params.stop,
                min_tokens=request.params.min_tokens,
            ),
            constraint=None if grammar is None else grammar.constraint(self._view(), room),
            queued_s=queued_s,
        )
        row.left_out = cut.left_out
        return row

    def _view(self) -> TokenizerView:
        if self._info.vocabulary is None:
            raise AssertionError("a loaded model knows its vocabulary")
        return self._reader.view(self._info.vocabulary, self._network.eos)
