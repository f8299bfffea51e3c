"""The short form of `python tests/soak/swap.py`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "soak" / "swap.py"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no C compiler")
def test_swaps_under_calls_of_three_threads_give_no_wrong_result_and_leave_no_memory() -> None:
    command = [sys.executable, str(PROGRAM), "--swaps", "30", "--calls", "50000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["swaps"] >= 30
    assert outcome["calls"] >= 50_000
    assert (outcome["wrong"], outcome["errors"], outcome["mapped"]) == (0, [], 0)
    assert outcome["seen"] == [1.0, 2.0, 3.0]
