"""transformers' `generate` on padded batches, rows that have their tokens stopped one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from transformers import AutoModelForCausalLM, StoppingCriteria, StoppingCriteriaList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from work import Work

    from methods import Setting


def load(setting: Setting) -> Padded:
    """Load the model and see to the threads."""
    torch.set_num_threads(setting.threads)
    kind = getattr(torch, setting.kind)
    model = AutoModelForCausalLM.from_pretrained(setting.folder, dtype=kind).eval()
    model.generation_config.eos_token_id = None
    return Padded(model)


@final
class Padded:
    """A model of transformers."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers is not typed
        self._model = model

    def run(self, work: Work) -> Sequence[Sequence[int]]:
        """Generate in batches, in the order that rows came."""
        answers: list[list[int]] = []
        with torch.inference_mode():
            for at in range(0, len(work.prompts), work.at_once):
                rows = slice(at, at + work.at_once)
                answers += self._generate(work.prompts[rows], work.lengths[rows])
        return answers

    def _generate(
        self, prompts: Sequence[Sequence[int]], lengths: Sequence[int]
    ) -> list[list[int]]:
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts])
        seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        found = self._model.generate(
            input_ids=ids,
            attention_mask=seen,
            do_sample=False,
            max_new_tokens=max(lengths),
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([Reached(lengths, width)]),
        )
        new = found[:, width:].tolist()
        return [row[:length] for row, length in zip(new, lengths, strict=True)]


@final
class Reached(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed
    """Say which rows have the tokens they were asked for."""

    def __init__(self, lengths: Sequence[int], width: int) -> None:
        self._lengths = torch.tensor(lengths)
        self._width = width

    def __call__(self, ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """Return a flag a row."""
        del scores
        return ids.shape[1] - self._width >= self._lengths
