"""The short form of `python tests/soak/schedules.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "soak" / "schedules.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are POSIX's")
@pytest.mark.parametrize(("ledger", "crashes"), [("sqlite", 0), ("postgresql", 2)])
def test_twenty_restarts_with_two_schedulers_fire_each_slot_once(ledger: str, crashes: int) -> None:
    command = [sys.executable, str(PROGRAM), "--restarts", "20", "--ledger", ledger]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["restarts"], outcome["crashes"]) == (20, crashes)
    assert outcome["slots"] >= 10
    assert outcome["jobs"] >= 10
    assert [outcome[name] for name in ("lost", "twice", "invented", "unfinished")] == [[]] * 4
