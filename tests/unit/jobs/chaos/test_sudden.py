"""Processes that are hit while they write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from openautoglm.jobs.chaos.processes import Target, hit, writing
from openautoglm.jobs.chaos.sudden import Kill, Tear
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHANCE: Final = random.Random(1)  # noqa: S311 - no secret
DRIVER: Final = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]])
sys.stdin.read()
"""
WORKER: Final = """
import os, sys
parts = "parts"
os.mkdir(parts)
open(f"{parts}/done", "wb").write(bytes(1000))
os.link(f"{parts}/done", f"{parts}/.done")
again = open(f"{parts}/.done", "ab")          # committed: two names
read = open(f"{parts}/done", "rb")
half = open(f"{parts}/.half", "wb", buffering=0)
half.write(bytes(1000))
open("ready", "w").close()
sys.stdin.read()
"""


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """A driver and a worker that writes a part."""
    command = [sys.executable, "-c", DRIVER, WORKER]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE)
    made = Target(process)
    until((tmp_path / "ready").exists)
    yield made
    for left in made.workers():
        hit([left], signal.SIGKILL)
    if made.is_alive:
        made.kill_driver()
    assert process.stdin is not None
    process.stdin.close()


def test_a_process_that_writes_dies_and_only_what_is_not_committed_is_cut(
    target: Target, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    tear = Tear([f"{parts}/"], look_s=30)

    assert tear.strike(target, CHANCE)

    until(lambda: not target.workers())
    assert target.is_alive
    assert (parts / ".half").stat().st_size < 1000
    assert (parts / "done").stat().st_size == 1000


def test_nobody_is_hit_where_nobody_writes(target: Target, tmp_path: Path) -> None:
    (worker,) = target.workers()

    assert not Tear([f"{tmp_path}/elsewhere/"], look_s=0.01).strike(target, CHANCE)

    assert target.workers() == [worker]
    assert writing(os.getpid(), [f"{tmp_path}/"]) == []


def test_there_is_nobody_to_kill_where_there_are_no_workers(target: Target) -> None:
    assert Kill(driver=False, workers=True).strike(target, CHANCE)
    until(lambda: not target.workers())
    assert Kill(driver=False, workers=True).strike(target, CHANCE) is None
    assert Kill(driver=True, workers=True).strike(target, CHANCE)
    assert not target.is_alive
