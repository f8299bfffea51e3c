from __future__ import annotations

import subprocess
import sys

import pytest

from openautoglm.native import ffi

TORCH_LATER = """
import sys, threading
from openautoglm.native import ffi
found = []
threads = [threading.Thread(target=lambda: found.append(ffi.load().load_module)) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 8, "a thread saw half of the module"
assert "torch" not in sys.modules, "torch was imported"
assert not [f for f in sys.meta_path if type(f).__name__ == "_NoTorch"]
import torch
assert ffi.load().from_dlpack(torch.ones(3)).shape == (3,)
"""


def test_it_is_one_module() -> None:
    assert ffi.load() is ffi.load()


def test_torch_is_left_out_for_all_threads_and_may_come_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TORCH_LATER], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_only_the_thread_that_loads_is_without_torch() -> None:
    finder = ffi._NoTorch()
    with pytest.raises(ModuleNotFoundError):
        finder.find_spec("torch")
    assert finder.find_spec("torchvision") is None
    finder._thread += 1
    assert finder.find_spec("torch") is None
