"""CTranslate2's `Generator`: rows grouped by the length of their prompts, ended by a callback.

It is told the beginning that prompts share, and keeps its state.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, final

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from work import Work

    from methods import Setting

ctranslate2: Any = import_module("ctranslate2")

TYPES: Final = {"int8": "int8", "float32": "float32"}


def load(setting: Setting) -> Generator:
    """Load the converted model."""
    model = ctranslate2.Generator(
        str(setting.folder / f"ctranslate2-{setting.kind}"),
        device="cpu",
        compute_type=TYPES[setting.kind],
        inter_threads=1,
        intra_threads=setting.threads,
    )
    return Generator(model, Tokenizer.from_file(str(setting.folder / "tokenizer.json")))


@final
class Generator:
    """A model of CTranslate2, which takes tokens as texts."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:  # noqa: ANN401 - not typed
        self._model = model
        self._tokenizer = tokenizer

    def run(self, work: Work) -> Sequence[Sequence[int]]:
        """Generate in batches of its own making, or one row after another."""
        answers: list[list[int]] = []
        for at in range(0, len(work.prompts), work.at_once):
            rows = slice(at, at + work.at_once)
            answers += self._generate(work.prompts[rows], work.lengths[rows], work.shared)
        return answers

    def _generate(
        self, prompts: Sequence[Sequence[int]], lengths: Sequence[int], shared: int
    ) -> list[list[int]]:
        common = self._texts(prompts[0][:shared]) if shared else None
        most = max(lengths)

        counts = [0] * len(prompts)  # its own `step` counts from the end of the shortest prompt

        def has_ended(step: Any) -> bool:  # noqa: ANN401 - not typed
            number: int = step.batch_id
            counts[number] += 1
            return counts[number] >= lengths[number]

        found = self._model.generate_batch(
            [self._texts(prompt[shared:]) for prompt in prompts],
            max_length=most,
            min_length=most if min(lengths) == most else 0,
            sampling_topk=1,
            end_token=[0],
            static_prompt=common,
            include_prompt_in_result=False,
            callback=None if min(lengths) == most else has_ended,
        )
        return [list(one.sequences_ids[0]) for one in found]

    def _texts(self, tokens: Sequence[int]) -> list[str]:
        return [str(self._tokenizer.id_to_token(token)) for token in tokens]
