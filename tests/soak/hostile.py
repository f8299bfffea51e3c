"""Every hostile attempt of a plugin: none may succeed confined, and all must without the sandbox.

The attempts are those of tests/attacks/hostile. `python tests/soak/hostile.py` is all there is; the
tests of the sandbox ask for more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from table import at_least, finish, none  # type: ignore[import-not-found] # beside this program

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-host"  # noqa: S105 - what the attempts are after
LEAST = 40


@dataclass
class Outcome:
    """What succeeded where; `confined` and `stopped_free` are findings."""

    attempts: int = 0
    confined: list[str] = field(default_factory=list)
    free: int = 0
    stopped_free: list[str] = field(default_factory=list)


def tried(level: str) -> list[Any]:
    """Make all attempts at a level, or with no sandbox (`none`)."""
    variables = {"PATH": os.environ["PATH"], "HOST_TOKEN": SECRET, "OMP_NUM_THREADS": "2"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.attacks.hostile.run", folder, level, "hostile"]
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


def run() -> Outcome:
    """Make them all, confined and not."""
    confined, free = tried("L2"), tried("none")
    possible = [each for each in free if os.geteuid() == 0 or not each["root"]]
    failed = [each for each in possible if not each["succeeded"]]
    return Outcome(
        attempts=len(confined),
        confined=[each["name"] for each in confined if each["succeeded"] or each["harm"]],
        free=len(possible) - len(failed),
        stopped_free=[each["name"] for each in failed if not each["rare"]],
    )


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where there is a finding."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    outcome = run()
    rows = [
        at_least("hostile attempts from an L2 worker", outcome.attempts, LEAST),
        none("succeeded", outcome.confined),
        at_least("succeeded without the sandbox", outcome.free, LEAST),
        none("failed without the sandbox", outcome.stopped_free),
    ]
    finish("Hostile plugins", outcome, rows)


if __name__ == "__main__":
    main()
