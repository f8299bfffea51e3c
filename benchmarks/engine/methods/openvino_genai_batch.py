"""OpenVINO GenAI's continuous batching over a GGUF file.

It keeps beginnings where prompts share one: else repeated work would be found in its cache.
"""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from work import Work

    from methods import Setting

openvino: Any = import_module("openvino")
genai: Any = import_module("openvino_genai")

CACHE_GB: Final = 1
BATCH_TOKENS: Final = 512


def load(setting: Setting) -> Pipeline:
    """Load the file that llama.cpp reads."""
    kind, _, told = setting.kind.partition("-")
    return Pipeline(setting.folder / f"model.{kind}.gguf", setting.threads, is_told=bool(told))


@final
class Pipeline:
    """A pipeline of OpenVINO."""

    def __init__(self, file: Path, threads: int, *, is_told: bool) -> None:
        self._file = file
        self._threads = threads
        self._is_told = is_told
        self._keeps = False
        self._pipeline = self._load()

    def _load(self) -> Any:  # noqa: ANN401 - not typed
        rules = genai.SchedulerConfig()
        rules.cache_size = CACHE_GB
        rules.max_num_batched_tokens = BATCH_TOKENS
        rules.max_num_seqs = 32
        rules.enable_prefix_caching = self._keeps
        given = {"INFERENCE_NUM_THREADS": self._threads, "ENABLE_CPU_PINNING": False}
        return genai.ContinuousBatchingPipeline(str(self._file), rules, "CPU", given)

    def run(self, work: Work) -> Sequence[Sequence[int]]:
        """Generate all rows, or one after another."""
        if self._keeps != bool(work.shared):  # never while it is timed: it has warmed up so
            self._keeps = bool(work.shared)
            self._pipeline = self._load()
        count = len(work.prompts)
        if work.at_once == 1:
            starts = range(count)
        else:  # it looks for a beginning when a request comes: one must have been computed by then
            starts = range(2) if self._is_told and work.shared else range(1)
        answers: list[list[int]] = []
        for start, end in pairwise([*starts, count]):
            rows = slice(start, end)
            found = self._pipeline.generate(
                [openvino.Tensor(np.array([p], np.int64)) for p in work.prompts[rows]],
                [_greedy(length) for length in work.lengths[rows]],
            )
            answers += [list(one.m_generation_ids[0]) for one in found]
        return answers


def _greedy(length: int) -> Any:  # noqa: ANN401 - not typed
    rules = genai.GenerationConfig()
    rules.do_sample = False
    rules.max_new_tokens = length
    rules.min_new_tokens = length
    rules.ignore_eos = True
    return rules
