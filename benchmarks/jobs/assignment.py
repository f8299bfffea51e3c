"""Shards to whoever is free, against every n-th shard to each worker, on work of several kinds.

    python benchmarks/jobs/assignment.py --rows 3200 --rounds 3 --json PATH

Rows wait as long as they say, so workers do not share cores. Beside each time stands the least
there can be: all waiting by all rows that may be under way, but no less than the longest row. The
kinds wait equally long in all, but for the slow worker, which takes three times as long for a row.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, get_args

sys.path.insert(1, str(Path(__file__).parents[1]))

import rows
from methods import METHODS, Task
from trials import HERE

from openautoglm.jobs.spec import Assignment
from timing import busy_cores, noise, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timing import Cell

WORKERS: Final = 4
CONCURRENCY: Final = 4
SHARD_ROWS: Final = 25
MEAN_S: Final = 0.02
SEED: Final = 20
SLOWER: Final = 3.0
"""How much longer one worker takes for a row."""
PARETO: Final = 1.5
SIGMA: Final = 1.0
MOST: Final = 60
"""A row takes so many times the mean at most."""


def same(count: int, random_: random.Random) -> list[float]:
    """All rows alike."""
    del random_
    return [1.0] * count


def pareto(count: int, random_: random.Random) -> list[float]:
    """Few rows take long, anywhere."""
    return [min(MOST, random_.paretovariate(PARETO)) for _ in range(count)]


def by_length(count: int, random_: random.Random) -> list[float]:
    """Rows sorted by their length, the longest last."""
    return sorted(random_.lognormvariate(0.0, SIGMA) for _ in range(count))


def clumped(count: int, random_: random.Random) -> list[float]:
    """Long rows side by side: of each eight shards, one takes ten times as long."""
    del random_
    return [10.0 if row // SHARD_ROWS % (2 * WORKERS) == 0 else 1.0 for row in range(count)]


SLOW_ONE: Final = "all alike but one slow worker"
KINDS: Final[dict[str, Callable[[int, random.Random], list[float]]]] = {
    "all alike": same,
    "Pareto": pareto,
    "log-normal sorted": by_length,
    "one long shard of 8": clumped,
    SLOW_ONE: same,
}


def main() -> None:
    """Measure, print a table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=3200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--kinds", default=",".join(KINDS), help="by commas")
    asked = parser.parse_args()
    busy = busy_cores()
    waits = {
        kind: _waits(make, asked.rows)
        for kind, make in KINDS.items()
        if kind in asked.kinds.split(",")
    }
    taken: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(asked.rounds):
        for kind, waits_s in waits.items():
            for assignment in get_args(Assignment):
                taken[kind, assignment].append(
                    _seconds(waits_s, assignment, is_one_slow=kind == SLOW_ONE)
                )
    notes = (
        f"{asked.rows} rows, {MEAN_S * 1000:.0f} ms on average; {WORKERS} workers of {CONCURRENCY} "
        f"rows, shards of {SHARD_ROWS}. Seconds hold the start of the workers. Medians of "
        f"{asked.rounds} rounds in turn; the same seed for all. {noise(busy)}"
    )
    publish(
        "Shards to whoever is free, or every n-th",
        [_shown(kind, waits_s, taken) for kind, waits_s in waits.items()],
        notes=notes.strip(),
        target=asked.json,
        more={
            "samples": {f"{kind}: {name}": found for (kind, name), found in taken.items()},
            "busy_cores_before": round(busy, 2),
        },
    )


def _waits(make: Callable[[int, random.Random], list[float]], count: int) -> list[float]:
    found = make(count, random.Random(SEED))  # noqa: S311 - repeatable, no secret
    return [value * MEAN_S * count / sum(found) for value in found]


def _seconds(waits_s: Sequence[float], assignment: str, *, is_one_slow: bool) -> float:
    """Run a job in a process of its own and return what it took."""
    with tempfile.TemporaryDirectory(prefix="oag-bench-") as folder:
        home = Path(folder)
        with (home / "rows.jsonl").open("w") as lines:
            for number, wait_s in enumerate(waits_s):
                lines.write(json.dumps({"id": f"row-{number:09d}", "wait_s": wait_s}) + "\n")
        task = Task(
            source=str(home / "rows.jsonl"),
            sink=str(home / "out"),
            rows=len(waits_s),
            processes=WORKERS,
            in_flight=WORKERS * CONCURRENCY,
            job={"function": "rows:wait", "shard_rows": SHARD_ROWS, "assignment": assignment},
        )
        slow = {rows.SLOW: str(home / "slow"), rows.SLOWER: str(SLOWER)} if is_one_slow else {}
        about = METHODS["ours"]
        done = subprocess.run(
            [about.python, str(about.file), json.dumps(asdict(task))],
            env={**os.environ, "PYTHONPATH": str(HERE), "OPENAUTOGLM_HOME": folder, **slow},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found = rows.keys(home / "out")
        if not len(found) == len(set(found)) == len(waits_s):
            sys.exit(f"{len(found)} rows, {len(set(found))} distinct, of {len(waits_s)}")
    return float(json.loads(done.stdout)["seconds"])


def _least_s(waits_s: Sequence[float], *, is_one_slow: bool) -> float:
    at_once = float(WORKERS * CONCURRENCY)
    if is_one_slow:
        at_once += CONCURRENCY * (1 / SLOWER - 1)
    longest_s = max(waits_s)
    return max(sum(waits_s) / at_once, longest_s)


def _shown(
    kind: str, waits_s: Sequence[float], taken: Mapping[tuple[str, str], Sequence[float]]
) -> dict[str, Cell]:
    least_s = _least_s(waits_s, is_one_slow=kind == SLOW_ONE)
    static_s, dynamic_s = median(taken[kind, "static"]), median(taken[kind, "dynamic"])
    return {
        "rows": kind,
        "least s": round(least_s, 2),
        "static s": round(static_s, 2),
        "dynamic s": round(dynamic_s, 2),
        "static by dynamic": round(static_s / dynamic_s, 2),
        "dynamic by least": round(dynamic_s / least_s, 2),
    }


if __name__ == "__main__":
    main()
