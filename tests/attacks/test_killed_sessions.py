"""The short form of `python tests/soak/sessions.py`, and proof that it finds what it looks for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openautoglm.plugins.host.sandbox import supported

PROGRAM = Path(__file__).parents[1] / "soak" / "sessions.py"


def soak(*arguments: str) -> tuple[int, Any]:
    """Run it and return its exit code and its outcome."""
    command = [sys.executable, str(PROGRAM), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-4000:]
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["L1", "L2"])
def test_a_worker_killed_in_the_middle_of_a_session_leaves_nothing_unsaid(level: str) -> None:
    if level == "L2" and not supported().sandbox:
        pytest.skip(f"no sandbox here: {supported().reasons}")
    code, outcome = soak("--sessions", "48", "--level", level)
    assert (code, outcome["silent"]) == (0, [])
    assert outcome["kills"] >= 48
    kinds = {name.split()[0] for name in outcome["ended"]}
    assert kinds >= {"sink", "source", "stream"}
    assert outcome["ended"]["sink ended in OAG731"] > 0


@pytest.mark.slow
def test_a_stream_that_begins_again_is_found() -> None:
    code, outcome = soak("--sessions", "16", "--begin-again")
    assert code == 1
    assert any(found.startswith("stream") for found in outcome["silent"])
