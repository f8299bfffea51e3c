"""Ten million rows that take no time: pace from beginning to end, memory, what the ledger takes.

    python benchmarks/jobs/ten_million.py --rows 1000000 --json PATH

Each row is looked for in the output, once. The run is cut into tenths of its rows, so that a pace
which falls as a job grows is seen. Exits with 1 where a row is lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

sys.path.insert(1, str(Path(__file__).parents[1]))

import rows
from methods import METHODS, Task
from tree import Tree
from trials import HERE

from openautoglm import OpenAutoGLMError
from openautoglm.jobs import Run
from timing import busy_cores, noise, publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timing import Cell

PARTS: Final = 10
WORKERS: Final = 2
IN_FLIGHT: Final = 128
LOOK_S: Final = 0.5
AIM_S: Final = 900
AIM_MB: Final = 500


class Look(NamedTuple):
    """The job at a moment: seconds since its start, rows done, memory, size of its ledger."""

    at_s: float
    done: int
    memory: int
    ledger: int


def main() -> None:
    """Measure, print a table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--shard-rows", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args()
    busy = busy_cores()
    with tempfile.TemporaryDirectory(prefix="oag-bench-") as folder:
        home = Path(folder)
        rows.write(home / "rows.jsonl", asked.rows)
        source_mb = (home / "rows.jsonl").stat().st_size / 1e6
        looks, tree = _worked(home, asked.rows, asked.shard_rows)
        lost, doubled = _missed(home / "out", asked.rows)
    shown = _tenths(looks, asked.rows)
    whole_s, peak_mb = looks[-1].at_s, tree.peak_bytes / 1e6
    ledger_mb = max(look.ledger for look in looks) / 1e6
    planned_s = next((look.at_s for look in looks if look.done), whole_s)
    notes = (
        f"{asked.rows} rows ({source_mb:.0f} MB) in {whole_s:.0f} s, of which {planned_s:.1f} s "
        f"before the first were done, as ids are looked at for doubles; {lost} lost, {doubled} "
        f"doubled; {asked.rows / whole_s:.0f} rows/s; all processes {peak_mb:.0f} MB at most; the "
        f"ledger {ledger_mb:.1f} MB at most. {WORKERS} workers, shards of "
        f"{asked.shard_rows}. {noise(busy)}"
    )
    more = {
        "count": asked.rows,
        "seconds": round(whole_s, 2),
        "peak_mb": round(peak_mb, 1),
        "ledger_mb": round(ledger_mb, 2),
        "lost": lost,
        "doubled": doubled,
        "aims": {"seconds": AIM_S, "peak_mb": AIM_MB},
        "cpu_s": round(tree.cpu_s, 1),
        "busy_cores_before": round(busy, 2),
    }
    publish("A large batch", shown, notes=notes.strip(), target=asked.json, more=more)
    sys.exit(int(lost + doubled > 0))


def _worked(home: Path, count: int, shard_rows: int) -> tuple[list[Look], Tree]:
    """Run the job in a process of its own, and look at it until it ends."""
    task = Task(
        source=str(home / "rows.jsonl"),
        sink=str(home / "out"),
        rows=count,
        processes=WORKERS,
        in_flight=IN_FLIGHT,
        job={"shard_rows": shard_rows},
    )
    began_s = time.monotonic()
    looks = [Look(0.0, 0, 0, 0)]
    about = METHODS["ours"]
    with (
        subprocess.Popen(
            [about.python, str(about.file), json.dumps(asdict(task))],
            env={**os.environ, "PYTHONPATH": str(HERE), "OPENAUTOGLM_HOME": str(home)},
            stdout=subprocess.DEVNULL,
        ) as process,
        Tree(process.pid) as tree,
    ):
        is_over = False
        while not is_over:
            is_over = _ends(process)
            looks.append(_look(home, time.monotonic() - began_s, tree))
    if process.returncode:
        sys.exit("the job failed")
    return looks, tree


def _ends(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(LOOK_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _look(home: Path, at_s: float, tree: Tree) -> Look:
    size = sum(file.stat().st_size for file in home.glob("ledger.db*"))
    try:
        found = Run.all(ledger=f"sqlite:///{home}/ledger.db", limit=1)
    except OpenAutoGLMError:  # it is not made yet
        found = []
    return Look(at_s, found[0].counts.done if found else 0, tree.last_bytes, size)


def _missed(folder: Path, count: int) -> tuple[int, int]:
    """Return how many rows are not in the output, and how many are there again."""
    seen = bytearray(count)
    found = 0
    for file in sorted(folder.glob("*.jsonl")):
        for row in rows.read(file):
            seen[int(row["id"].rpartition("-")[2])] = 1
            found += 1
    distinct = seen.count(1)
    return count - distinct, found - distinct


def _tenths(looks: Sequence[Look], count: int) -> list[dict[str, Cell]]:
    """Return the pace and the memory in each tenth of the rows, at the looks that end them."""
    shown: list[dict[str, Cell]] = []
    before, at = looks[0], 0
    for part in range(1, PARTS + 1):
        reached = (n for n, look in enumerate(looks) if look.done >= count * part // PARTS)
        ends = next(reached, len(looks) - 1)
        look = looks[ends]
        if look is before:
            continue
        passed_s = look.at_s - before.at_s
        shown.append(
            {
                "rows": look.done,
                "s": round(look.at_s, 1),
                "rows/s": round((look.done - before.done) / passed_s),
                "peak MB": round(max(one.memory for one in looks[at : ends + 1]) / 1e6),
                "ledger MB": round(look.ledger / 1e6, 1),
            }
        )
        before, at = look, ends
    return shown


if __name__ == "__main__":
    main()
