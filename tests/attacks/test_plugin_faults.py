"""The short form of `python tests/soak/faults.py`, at both levels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from openautoglm.plugins.host.sandbox import supported

PROGRAM = Path(__file__).parents[1] / "soak" / "faults.py"
KINDS = {
    *("SIGKILL", "SIGSEGV", "SIGSTOP", "endless loop", "out of memory", "malformed reply"),
    *("oversized reply", "slow", "descriptor leak", "import failure", "init hang"),
    "stale reference",
}


@pytest.mark.slow
@pytest.mark.parametrize("level", ["L1", "L2"])
def test_no_fault_ends_the_host_loses_a_call_or_goes_unsaid(level: str) -> None:
    if level == "L2" and not supported().sandbox:
        pytest.skip(f"no sandbox here: {supported().reasons}")
    command = [sys.executable, str(PROGRAM), "--faults", "24", "--level", level]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    outcome = json.loads(done.stdout)
    assert outcome["faults"] == dict.fromkeys(outcome["faults"], 2)
    assert outcome["faults"].keys() == KINDS
    assert outcome["calls"] > 0
    assert (outcome["lost"], outcome["wrong"]) == ([], [])
    assert (outcome["silent"], outcome["strange"]) == ([], [])
    assert outcome["deaths"] >= 8  # a fault may hit a worker that another one is about to end
    assert outcome["threads"] == 0
