"""Batches on a Ray of several nodes, which are killed one after the other, and added again.

Every row must be in the sink, once, and a node that is killed may repeat no more calls than were
under way and not yet written down. The ledger is a PostgreSQL of this run. `python
tests/soak/ray_nodes.py` is the long form.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # for the servers that the tests start

from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # noqa: E402 - beside
from tests.postgres_server import PostgresServer  # noqa: E402 - after the path
from tests.ray_nodes import RayNodes  # noqa: E402 - after the path

from openautoglm.jobs.batch_job import BatchJob  # noqa: E402 - after the path
from openautoglm.jobs.chaos.verdict import Places, places  # noqa: E402 - after the path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.progress import Progress
    from openautoglm.jobs.run import Run

LONG: Final = 20
NODES: Final = 2
ROWS_PER_KILL: Final = 5000
CONCURRENCY: Final = 16
UNWRITTEN: Final = 100
"""Rows that may be answered and not yet journalled when a node is killed."""
ROW_S: Final = 0.03
EVERY_S: Final = (2.0, 4.0)
LIMIT_S: Final = 1800.0
CALLS: Final = "OPENAUTOGLM_SOAK_CALLS"


def answer(values: Mapping[str, object]) -> dict[str, object]:
    """Take a while over a row, as a model would, and leave a mark that no kill takes away."""
    with open(os.environ[CALLS], "ab", buffering=0) as marks:  # noqa: PTH123 - the quickest
        marks.write(b".")
    time.sleep(ROW_S)
    return {"output": str(values["text"]).upper()}


@dataclass(slots=True)
class Outcome:
    """What became of the rows, and how long nothing was done after a kill."""

    state: str = ""
    kills: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    quarantined: int = 0
    repeated: int = 0
    kept: float = 1.0
    seconds: float = 0.0
    until_working_s: list[float] = field(default_factory=list)


def attack(run: Run, nodes: RayNodes, kills: int, chance: random.Random, found: Outcome) -> None:
    """Kill a node that works, add another, wait until more rows are done; again and again."""
    while found.kills < kills:
        time.sleep(chance.uniform(*EVERY_S))
        before = run.status()
        if before.counts.done == 0 and before.state in {"planned", "running"}:
            continue  # it has not begun
        if before.state != "running":
            return
        nodes.kill(nodes.nodes.pop(chance.randrange(len(nodes.nodes))))
        began_s = time.monotonic()
        found.kills += 1
        after = run.status().counts.done
        found.kept = min(found.kept, after / before.counts.done)
        nodes.nodes.append(nodes.add())
        while (now := run.status()).state == "running" and now.counts.done <= after + CONCURRENCY:
            time.sleep(0.05)
        found.until_working_s.append(round(time.monotonic() - began_s, 3))
        sys.stderr.write(f"kill {found.kills}: {now.counts.done} rows are done\n")


def soak(folder: Path, ledger: str, nodes: RayNodes, kills: int, seed: int) -> Outcome:
    """Run a job while nodes are killed."""
    source, rows = folder / "rows.jsonl", kills * ROWS_PER_KILL
    with source.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"id": n, "text": f"row {n}"}) + "\n" for n in range(rows))
    job = BatchJob(
        source=str(source),
        sink=f"{folder}/out.jsonl",
        function="ray_nodes:answer",
        id_column="id",
        workers=NODES,
        concurrency=CONCURRENCY,
        shard_rows=500,
    )
    began_s, found = time.monotonic(), Outcome(rows=rows)
    run = job.submit(ledger=ledger, engine=nodes.address)
    chance = random.Random(seed)  # noqa: S311 - a seed, no secret
    attacker = threading.Thread(target=attack, args=(run, nodes, kills, chance, found))
    attacker.start()
    end: Progress = run.wait(LIMIT_S)
    attacker.join()
    found.seconds = round(time.monotonic() - began_s, 1)
    found.state = end.state
    where: Places = places(job, (row.key for row in run.errors()))
    found.lost, found.doubled, found.quarantined = where.lost, where.doubled, where.quarantined
    found.repeated = (folder / "calls").stat().st_size - rows
    return found


def main() -> None:
    """Attack, count, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=LONG)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="openautoglm-soak-") as name,
        tempfile.TemporaryDirectory(prefix="pg-") as data,
    ):
        os.environ |= {"OPENAUTOGLM_HOME": name, CALLS: f"{name}/calls"}
        server = PostgresServer(Path(data))
        server.create()
        server.start()
        try:
            url = server.url(server.create_database())
            with RayNodes(os.environ, nodes=NODES) as nodes:
                found = soak(Path(name), url, nodes, asked.kills, asked.seed)
        finally:
            server.stop()
    hits = max(1, found.kills)
    rows = [
        told("rows", found.rows),
        at_least("nodes killed", found.kills, asked.kills),
        none("rows lost", range(found.lost)),
        none("rows doubled", range(found.doubled)),
        none("rows in quarantine", range(found.quarantined)),
        at_most("calls repeated for each kill", found.repeated / hits, CONCURRENCY + UNWRITTEN),
        at_least("part of the answers kept at a kill", found.kept, 0.99),
        told(
            "longest until a killed node's work goes on, s", max(found.until_working_s, default=0)
        ),
        told("state", found.state),
    ]
    finish("batches on a Ray whose nodes are killed", asdict(found), rows)


if __name__ == "__main__":
    main()
