"""The short form of `python benchmarks/jobs/cron.py`: a few zones, two years, and its own eyes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[4] / "benchmarks" / "jobs" / "cron.py"
ZONES = (
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Havana",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Shanghai",
    "Europe/Berlin",
)


def study(tmp_path: Path, *options: str, zones: tuple[str, ...] = ZONES) -> list[dict[str, Any]]:
    target = tmp_path / "cron.json"
    command = [sys.executable, str(PROGRAM), "--years", "2", "--zones", ",".join(zones)]
    command += ["--json", str(target), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, Any]] = json.loads(target.read_text())["rows"]
    return rows


@pytest.mark.slow
def test_no_named_time_is_missed_or_fires_twice_wherever_clocks_are_changed(tmp_path: Path) -> None:
    (ours,) = study(tmp_path, "--peers", "")
    assert ours["named times"] > 8 * 2 * 365 * 3
    assert (ours["missed"], ours["fired twice"], ours["at another minute"]) == (0, 0, 0)


@pytest.mark.slow
def test_the_study_sees_what_is_wrong(tmp_path: Path) -> None:
    _, croniter = study(tmp_path, "--peers", "croniter", zones=("America/New_York",))
    assert croniter["fired twice"] > 0
