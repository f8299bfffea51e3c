"""Ctrl-C in the middle of each call: it is raised, nothing goes on, and the engine is as before."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INTERRUPTED = """
import os, signal, sys, threading
from itertools import count, repeat
from openautoglm import AutoGLM

engine = AutoGLM(sys.argv[1], backend=sys.argv[2], max_length=40, min_tokens=40)
expected = engine.run("dog").text

def streams():
    for prompt in repeat("dog"):
        "".join(engine.stream(prompt))

calls = {
    "run": lambda: [engine.run(prompt) for prompt in repeat("dog")],
    "stream": streams,
    "batch": lambda: list(engine.batch(f"dog {n}" for n in count())),
    "stream_batch": lambda: list(engine.stream_batch(f"dog {n}" for n in count())),
}

def press_ctrl_c():
    while not engine._loaded._uses:  # until it generates
        pass
    os.kill(os.getpid(), signal.SIGINT)

for name, call in calls.items():
    threading.Thread(target=press_ctrl_c).start()
    try:
        call()
    except KeyboardInterrupt:
        print(name, end=" ")
    engine.sleep()  # refused while anything is under way
    assert engine.run("dog").text == expected
engine.close()
print(sorted(t.name for t in threading.enumerate() if t is not threading.main_thread()))
"""


@pytest.mark.parametrize(
    "backend", ["native", pytest.param("transformers", marks=pytest.mark.slow)]
)
def test_ctrl_c_ends_a_call_and_leaves_the_engine_as_it_was(
    tiny_model: Callable[..., Path], backend: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, os.fspath(tiny_model()), backend],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == "run stream batch stream_batch []\n", done.stderr
