"""transformers' continuous batching, `generate_batch`'s manager, each request with its length."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, final

import torch
from transformers import AutoModelForCausalLM
from transformers.generation import ContinuousBatchingConfig, GenerationConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from work import Work

    from methods import Setting

PAGE: Final = 32
PAGES: Final = int(os.environ.get("OAG_BENCHMARK_PAGES", "400"))
BATCH_TOKENS: Final = 256  # the fastest of 256, 512 and the default, where that was looked for
WAIT_S: Final = 60.0


def load(setting: Setting) -> Paged:
    """Load the model with paged attention."""
    torch.set_num_threads(setting.threads)
    kind = getattr(torch, setting.kind)
    return Paged(AutoModelForCausalLM.from_pretrained(setting.folder, dtype=kind).eval())


@final
class Paged:
    """A model of transformers."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers is not typed
        self._model = model

    def run(self, work: Work) -> Sequence[Sequence[int]]:
        """Give all rows to a manager, or one after another."""
        with torch.inference_mode():
            manager = self._model.init_continuous_batching(
                generation_config=GenerationConfig(
                    do_sample=False, max_new_tokens=256, pad_token_id=0, eos_token_id=-1
                ),
                continuous_batching_config=ContinuousBatchingConfig(
                    num_blocks=PAGES,
                    page_size=PAGE,
                    max_batch_tokens=BATCH_TOKENS,
                    max_requests_per_batch=work.at_once,
                ),
            )
            manager.start()
            try:
                return self._answers(manager, work)
            finally:
                manager.stop(block=True)

    def _answers(self, manager: Any, work: Work) -> list[list[int]]:  # noqa: ANN401 - as above
        found: dict[str, list[int]] = {}
        for i, (prompt, length) in enumerate(zip(work.prompts, work.lengths, strict=True)):
            manager.add_request(list(prompt), request_id=str(i), max_new_tokens=length)
            if work.at_once == 1:
                self._collect(manager, found, i + 1)
        self._collect(manager, found, len(work.prompts))
        return [found[str(i)] for i in range(len(work.prompts))]

    def _collect(self, manager: Any, found: dict[str, list[int]], count: int) -> None:  # noqa: ANN401 - as above
        while len(found) < count:
            result = manager.get_result(timeout=WAIT_S)
            if result is None:
                raise TimeoutError(f"no result in {WAIT_S} s")
            if result.is_finished():
                found[result.request_id] = list(result.generated_tokens)
