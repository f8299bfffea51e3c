"""What is done to arguments, threads and the interpreter while a call is in a kernel."""

from __future__ import annotations

import _thread
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.native import cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.ops.registered import RegisteredOperator

pytestmark = pytest.mark.skipif(
    cells.no_direct_calls() is not None, reason=f"calls are not direct: {cells.no_direct_calls()}"
)

THREADS: Final = """
import threading, time
import numpy as np
from openautoglm import ops
add, x, out = ops.get("add"), np.ones(1_000_000, "f4"), np.ones(1_000_000, "f4")
started = threading.Barrier(5)
def run(call):
    started.wait()
    while True: call()
calls = [lambda: add(x, x), lambda: add.door(x, x, 1.0, out)] * 2
for call in calls: threading.Thread(target=run, args=(call,), daemon=True).start()
started.wait()
for _ in range(50): add(x, x)
"""
NO_THREAD: Final = """
import threading
import torch
from openautoglm import ops
def refuse(self): raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
x = torch.ones(2, 3)
for _ in range(2): assert torch.equal(ops.get("add")(x, x), x + x)
"""


@pytest.fixture(scope="module")
def waits() -> Iterator[RegisteredOperator]:
    """The operator whose kernel goes on when its first element is set."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    library = ops.load_library(Path(__file__).parent / "waiting")
    yield ops.get("waits")
    library.unload()


def until(array: Any, place: int) -> None:  # noqa: ANN401 - an array of NumPy or torch
    """Return when an element is set; the test's time limit ends a wait for nothing."""
    while not array[place]:
        pass


def test_an_array_reshaped_by_another_thread_is_the_one_that_was_passed(
    waits: RegisteredOperator,
) -> None:
    x = np.zeros(6, "f4")
    flat, results = x.view(), list[Any]()
    thread = threading.Thread(target=lambda: results.append(waits(x)))
    thread.start()
    until(flat, 1)
    x.shape = (2, 3)  # type: ignore[deprecated] # it goes from NumPy when nobody does it
    taken = [np.empty(77, "f4") for _ in range(100)]
    flat[0] = 1
    thread.join()
    assert (results[0][0], len(taken)) == (6, 100)


def test_named_arguments_live_until_their_call_returns(waits: RegisteredOperator) -> None:
    import torch

    waits(torch.ones(3))
    storage = torch.zeros(6)
    named = {"x": storage.view(6)}
    _thread.start_new_thread(waits, (), named)  # hands over this very dict
    until(storage, 1)
    named.clear()
    taken = [torch.empty(77) for _ in range(100)]
    storage[0] = 1
    until(storage, 2)
    assert (storage[2].item(), len(taken)) == (6, 100)


@pytest.mark.parametrize("program", [THREADS, NO_THREAD], ids=["threads", "no thread"])
def test_a_process_ends_well(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
