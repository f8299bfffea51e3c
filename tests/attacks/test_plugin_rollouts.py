"""The short form of `python tests/soak/replace.py`, and proof that it finds what it looks for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[1] / "soak" / "replace.py"


def soak(*arguments: str) -> tuple[int, Any]:
    command = [sys.executable, str(PROGRAM), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-4000:]
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_no_request_is_lost_or_wrong_and_bad_versions_are_rolled_back() -> None:
    code, outcome = soak("--replacements", "24")
    assert (outcome["lost"], outcome["wrong"], outcome["surprises"]) == ([], [], [])
    assert code == 0
    assert outcome["replacements"] == 24
    assert outcome["requests"] > 24 * 32
    assert outcome["outcomes"]["Good"] == {"promoted": 6}
    assert outcome["outcomes"]["Raises"] == {"rolled-back": 2}
    assert outcome["outcomes"]["Slow"] == {"rolled-back": 2}
    assert outcome["outcomes"]["Dies"] == {"rolled-back": 2}
    assert outcome["outcomes"]["Broken"] == {"rejected": 2}
    assert outcome["outcomes"]["Forgets"] == {"rolled-back": 2}
    assert outcome["retries"] > 0
    assert outcome["flip_p50_us"] <= 1_000
    assert outcome["threads"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("part", "finding"), [("retries", "lost"), ("state", "wrong")])
def test_a_rollout_that_lacks_a_part_is_found_out(part: str, finding: str) -> None:
    code, outcome = soak("--replacements", "3", "--without", part)
    assert code == 1
    assert outcome[finding] != []
