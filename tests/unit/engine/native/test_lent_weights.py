"""Weights that one process converted serve others, which read no file that takes torch to read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm.engine.backend import LoadSpec, Request
from openautoglm.engine.backends.native import loading
from openautoglm.engine.backends.native.model.model import Model
from openautoglm.engine.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.engine.backends.native.backend import NativeBackend
    from openautoglm.engine.backends.native.weights.convert import Mode


def load(folder: Path, processes: int) -> NativeBackend:
    options = {"slots": 4, "processes": processes}
    return loading.load(LoadSpec(model=os.fspath(folder), options=options))


def answers(backend: NativeBackend) -> list[str]:
    rows = [Request(prompt=f"dog {n}", params=SamplingParams(max_length=20)) for n in range(24)]
    return [answer.text for _, answer in sorted(backend.batch(rows), key=lambda each: each[0])]


@pytest.mark.parametrize("mode", ["fp32", "bf16", "int8", "int4"])
@pytest.mark.parametrize("weights", ["safetensors", "bin", "legacy_bin"])
def test_a_model_of_lent_weights_computes_what_the_first_one_does(
    tiny_model: Callable[..., Path], weights: str, mode: Mode
) -> None:
    first = Model(tiny_model("llama", weights), mode, slots=1)
    other = Model(first.lend(), slots=1)
    assert (first.outline is None) is (weights == "safetensors")
    tokens, zeros = np.array([5, 9, 11]), np.zeros(3, np.int64)
    ours, theirs = (
        model.forward(tokens, zeros, np.arange(3), np.arange(3)).copy() for model in (first, other)
    )
    assert np.array_equal(ours, theirs)
    other.close()
    first.close()


def test_worker_processes_of_a_bin_folder_have_no_torch(tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model("llama", "bin")
    backend, alone = load(folder, 2), load(folder, 1)
    assert answers(backend) == answers(alone)
    assert backend.workers
    for pid in backend.workers:
        assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text("utf-8")
    backend.close()
    alone.close()
