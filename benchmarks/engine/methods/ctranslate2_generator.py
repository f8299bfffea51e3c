"""CTranslate2's `Generator`: rows grouped by the length of their prompts, ended by a callback.

Where it is told the beginning that prompts share, it keeps its state.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, final

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from work import Work

    from methods import Setting

ctranslate2: Any = import_module("ctranslate2")


def load(setting: Setting) -> Generator:
    """Load the converted model."""
    kind, _, told = setting.kind.partition("-")
    model = ctranslate2.Generator(
        str(setting.folder / f"ctranslate2-{kind}"),
        device="cpu",
        compute_type=kind,
        inter_threads=1,
        intra_threads=setting.threads,
    )
    tokenizer = Tokenizer.from_file(str(setting.folder / "tokenizer.json"))
    return Generator(model, tokenizer, is_told=bool(told))


@final
class Generator:
    """A model of CTranslate2, which takes tokens as texts."""

    def __init__(self, model: Any, tokenizer: Tokenizer, *, is_told: bool) -> None:  # noqa: ANN401 - not typed
        self._model = model
        self._tokenizer = tokenizer
        self._is_told = is_told

    def run(self, work: Work) -> Sequence[Sequence[int]]:
        """Generate in batches of its own making, or one row after another."""
        answers: list[list[int]] = []
        shared = work.shared if self._is_told else 0
        for at in range(0, len(work.prompts), work.at_once):
            rows = slice(at, at + work.at_once)
            answers += self._generate(work.prompts[rows], work.lengths[rows], shared)
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
