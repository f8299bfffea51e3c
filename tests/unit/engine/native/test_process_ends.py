"""Worker processes end with the process that started them, however it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARENT = """
import itertools, sys
from pathlib import Path
from openautoglm.engine.backend import LoadSpec, Request
from openautoglm.engine.backends.native import loading
from openautoglm.engine.sampling import SamplingParams
backend = loading.load(LoadSpec(model=sys.argv[1], options={"slots": 4, "processes": 2}))
row = Request(prompt="dog", params=SamplingParams(max_length=100))
is_told = False
for _ in backend.batch(itertools.repeat(row)):
    if not is_told and len(backend.workers) == 2:
        print(*backend.workers, flush=True)
        is_told = True
"""


def ends(pid: int) -> bool:
    """Wait for a process that is nobody's child any more; whether it ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor) as watched:
        return bool(select.select([watched], [], [], 30)[0])


def parent(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a process that never ends, and return it with the numbers of its workers."""
    started = subprocess.Popen(
        [sys.executable, "-c", PARENT, os.fspath(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert started.stdout is not None
    pids = [int(word) for word in started.stdout.readline().split()]
    assert len(pids) == 2, started.communicate()[1]
    return started, pids


def test_processes_do_not_outlive_one_that_is_killed(tiny_model: Callable[..., Path]) -> None:
    started, pids = parent(tiny_model())
    started.kill()
    assert all(ends(pid) for pid in pids)
    assert started.communicate()[1] == ""


def test_ctrl_c_ends_all_and_prints_one_traceback(tiny_model: Callable[..., Path]) -> None:
    started, pids = parent(tiny_model())
    os.killpg(started.pid, signal.SIGINT)
    _, errors = started.communicate(timeout=60)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert all(ends(pid) for pid in pids)
