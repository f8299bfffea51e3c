"""How many threads torch computes with, seen in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOAD = """
import sys, threading
from openautoglm.engine.backend import LoadSpec
from openautoglm.engine.backends import transformers

def load(name, **options):
    import torch
    transformers.load(LoadSpec(model=sys.argv[1], options=options), name=name).close()
    print(torch.get_num_threads())
"""
FIRST = """
transformers.load(LoadSpec(model=sys.argv[1]), name="nano")
import torch
print(torch.get_num_threads())
other = threading.Thread(target=lambda: print(torch.get_num_threads()))
other.start()
other.join()
from openautoglm.engine.backends.transformers.threads import _Default
print(_Default.replaced)
load("transformers")
load("nano", threads=3)
load("transformers")
load("transformers", threads=2)
"""
AFTER_TORCH = """
import torch
torch.set_num_threads(3)
load("nano")
load("nano", threads=1)
"""


def threads(folder: Path, script: str) -> list[int]:
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD + script, str(folder)],
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.slow
def test_nano_takes_one_thread_and_a_model_after_it_gets_torchs_own_number_back(
    tiny_model: Callable[..., Path],
) -> None:
    first, in_a_thread, own, after, asked, kept, changed = threads(tiny_model(), FIRST)
    assert (first, in_a_thread) == (1, 1)
    assert after == own  # the number of cores, so on a machine with one this shows nothing
    assert (asked, kept, changed) == (3, 3, 2)


@pytest.mark.slow
def test_a_process_that_had_torch_keeps_its_number_unless_it_is_asked(
    tiny_model: Callable[..., Path],
) -> None:
    assert threads(tiny_model(), AFTER_TORCH) == [3, 1]


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", 10**6])
def test_a_number_of_threads_that_cannot_be_is_refused(
    tiny_model: Callable[..., Path], value: object
) -> None:
    with pytest.raises(InvalidParameterError, match="`threads` must be a whole number") as caught:
        AutoGLM(tiny_model(), backend="transformers", threads=value)
    assert caught.value.fix
