"""The `transformers` backend: requests in, generations out, one loaded model.

Owns `TransformersBackend`: chat templates, tokens, and how a batch is cut. Knows nothing of how the
model got here.
"""

from __future__ import annotations

import gc
import threading
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, final

import torch
from jinja2 import TemplateError

from openautoglm.engine.backend import failed, room_for
from openautoglm.engine.backends.transformers.decoding import Network, Row, decode
from openautoglm.engine.prompt import as_messages
from openautoglm.engine.text_stream import TextStream
from openautoglm.errors import EngineClosedError, InvalidPromptError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from openautoglm.engine.backend import ModelInfo, Request
    from openautoglm.engine.generation import Generation
    from openautoglm.engine.prompt import Prompt
    from openautoglm.engine.structured import TokenizerView

BATCHES_IN_WINDOW: Final = 4
MAX_BATCH_TOKENS: Final = 32_768  # rows times the longest prompt; bounds the memory of a batch


@final
class TransformersBackend:
    """Generate with one model that is loaded.

    A batch is read in windows of `4 * batch_size` rows, sorted by length, and generated
    `batch_size` rows at a time; a row that ends leaves its batch. In float32 a row's greedy answer
    is the same whatever else is in its batch.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: PreTrainedTokenizerBase,
        info: ModelInfo,
        *,
        batch_size: int,
    ) -> None:
        self._network = network
        self._tokenizer: PreTrainedTokenizerBase | None = tokenizer
        self._info = info
        self._batch_size = batch_size if network.is_batchable else 1
        self._view: TokenizerView | None = None
        self._lock = threading.Lock()

    def describe(self) -> ModelInfo:
        """Say what was loaded."""
        return self._info

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text without special tokens."""
        return len(self._encode(text, add_special_tokens=False))

    def stream(self, request: Request) -> Iterator[str | Generation]:
        """Yield the pieces of one answer, then the answer."""
        row = self._row(request, time.monotonic())
        for _, piece in decode(self._network, [row]):
            if piece:
                yield piece
        if row.error is not None:
            raise row.error
        yield row.generation(self._info.model)

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Generate in batches; yields the rows of a window in the order in which they end."""
        numbered = enumerate(requests)
        while window := list(islice(numbered, self._batch_size * BATCHES_IN_WINDOW)):
            rows: dict[Row, int] = {}
            for index, request in window:
                try:
                    rows[self._row(request, time.monotonic())] = index
                except OpenAutoGLMError as error:
                    yield index, failed(error, model=self._info.model)
            for group in self._groups(sorted(rows, key=lambda row: len(row.prompt))):
                for row in self._finish(group):
                    yield rows[row], row.generation(self._info.model)

    def close(self) -> None:
        """Let go of the model and give its memory back."""
        self._network.close()
        self._tokenizer = self._view = None
        gc.collect()  # modules refer to each other in circles
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _finish(self, group: Sequence[Row]) -> Iterator[Row]:
        try:
            for row, _ in decode(self._network, group):
                if row.reason is not None:
                    yield row
        except OpenAutoGLMError as error:  # memory ran out, say: the rows that are not done fail
            for row in group:
                if row.reason is None:
                    row.fail(error)
                    yield row

    def _groups(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Cut rows sorted by length into batches that stay within both limits."""
        group: list[Row] = []
        for row in rows:
            tokens = (len(group) + 1) * len(row.prompt)
            if group and (len(group) == self._batch_size or tokens > MAX_BATCH_TOKENS):
                yield group
                group = []
            group.append(row)
        if group:
            yield group

    def _row(self, request: Request, queued_s: float) -> Row:
        prompt = self._read(request.prompt)
        room = room_for(
            len(prompt),
            max_length=request.params.max_length,
            context_length=self._info.context_length,
        )
        grammar = request.grammar
        return Row(
            request,
            prompt=prompt,
            room=room,
            text=TextStream(self._decode, stop=request.params.stop),
            constraint=None if grammar is None else grammar.constraint(self._tokenizer_view()),
            queued_s=queued_s,
        )

    def _read(self, prompt: Prompt) -> list[int]:
        """Return the tokens of a prompt, in the model's chat template when it has one."""
        if getattr(self._open(), "chat_template", None):
            return self._encode(self._templated(prompt), add_special_tokens=False)
        text = prompt if isinstance(prompt, str) else _joined(prompt)
        tokens = self._encode(text, add_special_tokens=True)
        if tokens:
            return tokens
        raise InvalidPromptError(
            "the model's tokenizer makes no token of the prompt", got=repr(text[:40])
        )

    def _templated(self, prompt: Prompt) -> str:
        messages = [m._asdict() for m in as_messages(prompt)]
        is_begun = messages[-1]["role"] == "assistant"  # the answer's beginning is given
        try:
            text: str = self._open().apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=not is_begun,
                continue_final_message=is_begun,
            )
        except (TemplateError, ValueError) as cause:
            raise InvalidPromptError(
                "the model's chat template refuses these messages",
                got=str(cause) or type(cause).__name__,
                fix="change the order or the roles of the messages",
            ) from cause
        return text

    def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        with self._lock:  # a fast tokenizer may not be borrowed by two threads
            encoded = self._open()(text, add_special_tokens=add_special_tokens, verbose=False)
        ids: list[int] = encoded["input_ids"]
        return ids

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._open().decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _tokenizer_view(self) -> TokenizerView:
        from openautoglm.engine.structured import TokenizerView

        with self._lock:
            if self._view is None:
                width = self._info.vocabulary or len(self._open())
                self._view = TokenizerView(self._open(), width, tuple(sorted(self._network.eos)))
            return self._view

    def _open(self) -> PreTrainedTokenizerBase:
        if self._tokenizer is None:
            raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
        return self._tokenizer


def _joined(prompt: Prompt) -> str:
    """Join messages for a model without a chat template: sensible only while one side speaks."""
    messages = as_messages(prompt)
    if any(message.role == "assistant" for message in messages):
        raise InvalidPromptError(
            "this model has no chat template, so it cannot tell who said what",
            got=f"roles: {', '.join(message.role for message in messages)}",
            fix="pass a text, or add chat_template.jinja to the model folder",
        )
    return "\n\n".join(message.content for message in messages)
