"""A backend of transformers over a random model, and the shapes of what went through the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

from openautoglm.engine.backend import ModelInfo
from openautoglm.engine.backends.transformers.backend import TransformersBackend
from openautoglm.engine.backends.transformers.network import Network
from openautoglm.engine.generation import Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from openautoglm.engine.backend import Request
    from openautoglm.engine.prompt import Prompt


@final
class Watched:
    """A backend whose every step is seen.

    Args:
        model: what computes.
        tokenizer: reads prompts.
        batch_size: rows of a step at most.
        context: tokens of the longest row.
        eos: the tokens that end an answer.

    Attributes:
        shapes: rows and width of each step, since the last call.
        limit: whether there is memory for a step of so many rows and of that width.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        batch_size: int,
        context: int,
        eos: frozenset[int] = frozenset(),
    ) -> None:
        self.model = model
        self.shapes: list[tuple[int, int]] = []
        self.limit: Callable[[int, int], bool] = lambda _rows, _width: True
        self.network = Network(model, eos=eos, pad=0)
        info = ModelInfo(
            backend="transformers",
            model="random",
            context_length=context,
            vocabulary=model.config.vocab_size,
        )
        self.backend = TransformersBackend(self.network, tokenizer, info, batch_size=batch_size)
        model.register_forward_pre_hook(self._look, with_kwargs=True)

    def together(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer them as one batch; each is answered once."""
        self.shapes.clear()
        answers = list(self.backend.batch(requests))
        assert sorted(index for index, _ in answers) == list(range(len(requests)))
        return [answer for _, answer in sorted(answers, key=lambda each: each[0])]

    def alone(self, request: Request) -> tuple[list[str], Generation]:
        """Return the pieces of an answer, and the answer."""
        self.shapes.clear()
        *pieces, answer = self.backend.stream(request)
        assert isinstance(answer, Generation)
        return [str(piece) for piece in pieces], answer

    def ids(self, prompt: Prompt) -> list[int]:
        """Return the tokens of a prompt."""
        return list(self.backend._reader.read(prompt))

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self.backend._reader.decode(tokens)

    def _look(self, _module: object, _args: object, given: dict[str, torch.Tensor]) -> None:
        rows, width = given["input_ids"].shape
        self.shapes.append((rows, width))
        if not self.limit(rows, width):
            raise torch.OutOfMemoryError
