"""Batches whose workers and drivers are killed (SIGKILL) at random, some of them stopped as well.

Every row must be in the sink or in quarantine, once, and a kill may repeat no more calls than were
under way and not yet written down. `python tests/soak/batches.py` is the long form.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.jobs.chaos.assault import assault
from openautoglm.jobs.chaos.kinds import KILLS
from openautoglm.jobs.home import open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.chaos.report import ChaosReport

LONG: Final = 200
ROWS_PER_FAULT: Final = 1500
CONCURRENCY: Final = 32
UNWRITTEN: Final = 100
"""Rows that may be answered and not yet journalled when a worker is killed."""
ROW_S: Final = 0.03
EVERY_S: Final = (0.4, 2.4)
"""Between two faults: most workers have begun by then, and many are at rows that are alone."""


def answer(values: Mapping[str, object]) -> dict[str, object]:
    """Take a while over a row, as a model would."""
    time.sleep(ROW_S)
    return {"output": str(values["text"]).upper()}


def run(folder: Path, *, faults: int, seed: int) -> ChaosReport:
    """Run a job under attack."""
    source, rows = folder / "rows.jsonl", faults * ROWS_PER_FAULT
    with source.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"id": i, "text": f"row {i}"}) + "\n" for i in range(rows))
    spec = JobSpec(
        source=str(source),
        sink=f"{folder}/out.jsonl",
        function="batches:answer",
        id_column="id",
        workers=2,
        concurrency=CONCURRENCY,
        shard_rows=500,
    )
    ledger = f"sqlite:///{folder}/ledger.db"
    with closing(open_at(ledger)) as opened:
        job = Run(register(spec, opened), ledger)
    return assault(job, spec, faults=faults, kinds=KILLS, every_s=EVERY_S, seed=seed, folder=folder)


def hit_alone(folder: Path, times: int) -> int:
    """Return how many rows had processes killed or lost so often while they were the only ones."""
    query = """select count(*) from (select 1 from oag_death where alone >= 0
    group by idx, alone having count(*) >= ?)"""
    with closing(sqlite3.connect(folder / "ledger.db")) as ledger:
        return int(ledger.execute(query, [times]).fetchone()[0])


def main() -> None:
    """Attack, count, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=LONG)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    with tempfile.TemporaryDirectory(prefix="openautoglm-soak-") as name:
        os.environ["OPENAUTOGLM_HOME"] = name
        found = run(Path(name), faults=asked.faults, seed=asked.seed)
        alone = [hit_alone(Path(name), times) for times in (1, 2, 3)]
    worst = (CONCURRENCY + UNWRITTEN) * 2  # a dead driver takes two workers with it
    rows = [
        told("rows", found.rows),
        at_least("processes killed or stopped", found.hits, asked.faults),
        told("of which", dict(found.faults)),
        none("rows lost", range(found.lost)),
        none("rows doubled", range(found.doubled)),
        none("rows in quarantine", range(found.quarantined)),
        told("rows hit while they were alone, twice, thrice", alone),
        at_most("calls repeated for each hit", (found.repeated or 0) / max(1, found.hits), worst),
        at_least("part of the answers kept at a kill", found.kept, 0.99),
        told("state", found.state),
    ]
    finish("batches under attack", msgspec.to_builtins(found), rows)


if __name__ == "__main__":
    main()
