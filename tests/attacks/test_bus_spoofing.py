"""No source is spoofed, and no durable message lost to `kill -9`.

The short form of `python tests/soak/bus.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[1] / "soak" / "bus.py"


def test_every_spoofed_source_is_refused_and_no_kill_loses_a_message() -> None:
    command = [sys.executable, str(PROGRAM), "--spoofs", "2000", "--kills", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["spoofs"] >= 2000
    assert (outcome["passed"], outcome["unaudited"]) == (0, 0)
    assert outcome["kills"] >= 3
    assert outcome["sent"] >= 3
    assert (outcome["lost"], outcome["invented"]) == (0, 0)


LAX = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, {folder!r})
import bus as soak
from openautoglm.bus.ports import Port
from openautoglm.bus.outboxes.sqlite import SqliteFeed
{lax}
outcome = soak.Outcome()
with tempfile.TemporaryDirectory() as folder:
    soak.spoof(outcome, Path(folder), count=500, seed=1)
    soak.kill(outcome, Path(folder), kills=1, seed=1)
print(outcome.passed, outcome.lost)
"""


def findings(lax: str) -> list[int]:
    code = LAX.format(folder=str(PROGRAM.parent), lax=lax)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def test_the_program_finds_a_channel_that_believes_what_it_is_told() -> None:
    passed, _ = findings("Port._claim = lambda self, claimed, type_: claimed")
    assert passed > 100


def test_the_program_finds_an_outbox_that_loses_a_message() -> None:
    _, lost = findings("""
whole = SqliteFeed._open
def lossy(self, pattern):
    whole(self, pattern)
    self._connection.execute("DELETE FROM deliveries WHERE seq = (SELECT min(seq) FROM deliveries)")
SqliteFeed._open = lossy
""")
    assert lost == 1
