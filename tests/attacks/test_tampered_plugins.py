"""Tampered packages are refused, each for its reason, and good ones are admitted.

The short form of `python tests/soak/signing.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[1] / "soak" / "signing.py"
KINDS = 25


def test_every_kind_of_attack_is_refused_and_no_good_package_is() -> None:
    command = [sys.executable, str(PROGRAM), "--tampered", "150", "--good", "50"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["admitted"], outcome["misjudged"], outcome["refused"]) == ([], [], [])
    assert (outcome["tampered"], outcome["good"]) == (150, 50)
    assert len(outcome["kinds"]) == KINDS
    assert min(outcome["kinds"].values()) >= 3


def test_the_program_finds_what_a_lax_verifier_lets_through() -> None:
    lax = f"""
import sys, tempfile
from pathlib import Path
sys.path.insert(0, {str(PROGRAM.parent)!r})
import signing
from openautoglm.plugins.signing import verify_bytes
judge = sys.modules[verify_bytes.__module__]
judge.content_reasons = lambda package, said: []
with tempfile.TemporaryDirectory() as folder:
    outcome = signing.run(tampered=50, good=0, seed=1, store=Path(folder))
print(len(outcome.admitted))
"""
    done = subprocess.run([sys.executable, "-c", lax], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 10
