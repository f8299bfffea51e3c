"""The short forms of `benchmarks/jobs`: their figures are whole, and every row is counted once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(__file__).parents[3] / "benchmarks" / "jobs"
OURS = ("ours", "thread pool")


def measured(tmp_path: Path, program: str, *options: str) -> tuple[dict[str, Any], str]:
    """Return what a program writes and what it says, where no peer is installed."""
    target = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / program), *options, "--json", str(target)],
        env={**os.environ, "OAG_BENCHMARK_CACHE": str(tmp_path / "none")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(target.read_text())
    assert {"title", "machine", "notes", "rows"} <= set(found)
    assert found["machine"]["cores"] == os.cpu_count()
    for row in found["rows"]:
        assert f"| {next(iter(row.values()))} |" in done.stdout
    return found, done.stderr


@pytest.mark.slow
def test_throughput_counts_every_row_and_leaves_out_peers_that_are_not_here(tmp_path: Path) -> None:
    found, said = measured(
        tmp_path, "throughput.py", "--rows", "300", "--slow-rows", "256", "--rounds", "1"
    )
    assert {(row["rows"], row["method"], row["count"]) for row in found["rows"]} == {
        (kind, method, count) for kind, count in (("no-op", 300), ("slow", 256)) for method in OURS
    }
    for row in found["rows"]:
        assert row["version"]
        assert row["rows/s"] > 0  # a text where a row was lost or doubled
        assert row["peak MB"] > 0
        assert row["first row s"] <= row["whole s"]
    assert "ray data with checkpoints is left out" in said


@pytest.mark.slow
def test_a_large_batch_says_its_pace_its_memory_and_its_ledger(tmp_path: Path) -> None:
    found, _ = measured(tmp_path, "ten_million.py", "--rows", "3000")
    assert (found["count"], found["lost"], found["doubled"]) == (3000, 0, 0)
    assert found["rows"][-1]["rows"] == 3000
    assert found["peak_mb"] > 0
    assert found["ledger_mb"] > 0


@pytest.mark.slow
def test_cold_starts_are_those_of_the_command_the_class_and_a_pool(tmp_path: Path) -> None:
    found, _ = measured(tmp_path, "cold_start.py", "--rounds", "1", "--counts", "10")
    assert {(row["rows"], row["method"]) for row in found["rows"]} == {
        (10, method) for method in ("oag batch run", *OURS)
    }
    for row in found["rows"]:
        assert row["first row s"] <= row["end s"]
        assert row["peak MB"] > 0


@pytest.mark.slow
def test_both_assignments_are_measured_beside_the_least_there_can_be(tmp_path: Path) -> None:
    kinds = ("Pareto", "all alike but one slow worker")
    few = ("--rows", "200", "--rounds", "1", "--kinds", ",".join(kinds))
    found, _ = measured(tmp_path, "assignment.py", *few)
    assert tuple(row["rows"] for row in found["rows"]) == kinds
    for row in found["rows"]:
        assert min(row["static s"], row["dynamic s"]) >= row["least s"] > 0


@pytest.mark.slow
def test_the_ledger_is_measured_in_rows_and_shards(tmp_path: Path) -> None:
    found, _ = measured(tmp_path, "ledger.py", "--shards", "20")
    assert {row["unit"] for row in found["rows"]} == {"rows/s", "shards/s", "/s", "ms"}
    assert all(row["value"] > 0 for row in found["rows"])
    assert list(tmp_path.iterdir()) == [tmp_path / "figures.json"]
