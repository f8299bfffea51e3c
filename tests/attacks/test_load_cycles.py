"""The short form of `python tests/soak/cycles.py`, and proof that it finds what it looks for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[1] / "soak" / "cycles.py"


def soak(*arguments: str) -> tuple[int, Any]:
    command = [sys.executable, str(PROGRAM), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-4000:]
    assert f"exit code {done.returncode}" in " ".join(done.stderr.split())
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_what_is_unloaded_leaves_nothing() -> None:
    code, outcome = soak("--cycles", "20")
    assert code == 0, outcome
    assert set(outcome["grown"]) | set(outcome["left_out"]) == {
        *("L0", "L1", "L2", "kernels", "replacements")
    }
    assert all(each["cycles"] == 20 for each in outcome["grown"].values())


@pytest.mark.slow
def test_what_stays_behind_is_found() -> None:
    code, outcome = soak("--cycles", "24", "--kind", "L0", "--leak")
    found = outcome["grown"]["L0"]
    assert code == 1
    assert (found["descriptors"], found["threads"]) == (24, 24)
    assert found["memory_mb"] > 2.0
