"""From a table to a table, while workers and drivers are killed (SIGKILL) at random.

Rows of a table of PostgreSQL, or of SQLite, go through a job to another table of the same database.
That table has no key: what keeps a row from being there twice is that a shard and its line in
`_oag_commit` are one transaction. `python tests/soak/sql_sink.py` is the long form, and
`--to sqlite` the one without a server.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from server import started_server  # type: ignore[import-not-found] # beside
from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.data import open_sink
from openautoglm.data.sink import writing
from openautoglm.jobs.chaos.assault import assault
from openautoglm.jobs.home import open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.jobs.chaos.report import ChaosReport

LONG: Final = 100
ROWS_PER_FAULT: Final = 2000
EVERY_S: Final = (1.0, 3.0)
"""Between two kills: long enough for a driver to read the tables and for workers to begin."""
SHARD_ROWS: Final = 250
CONCURRENCY: Final = 32
UNWRITTEN: Final = 100
"""Rows that may be answered and not yet journalled when a worker is killed."""
ROW_S: Final = 0.03
BATCH: Final = 1000


def answer(values: Mapping[str, object]) -> dict[str, object]:
    """Take a while over a row, as a model would."""
    time.sleep(ROW_S)
    return {"output": str(values["text"]).upper()}


@dataclass(frozen=True)
class Findings:
    """What is not as it should be in the tables."""

    lost: list[object]
    twice: list[object]
    strange: list[object]
    twice_committed: list[object]
    uncommitted: list[object]


def run(
    folder: Path, database: str, ledger: str, *, faults: int, seed: int
) -> tuple[ChaosReport, Findings]:
    """Run a job from a table to a table under attack, and look at both."""
    rows = faults * ROWS_PER_FAULT
    source = f"{database}?table=questions&key=id"
    with writing(open_sink(source)) as sink:
        for start in range(0, rows, BATCH):
            some = range(start, min(start + BATCH, rows))
            sink.write([{"id": n, "text": f"row {n}"} for n in some])
        sink.commit()
    spec = JobSpec(
        source=source,
        sink=f"{database}?table=answers",
        function="sql_sink:answer",
        id_column="id",
        workers=2,
        concurrency=CONCURRENCY,
        shard_rows=SHARD_ROWS,
    )
    with closing(open_at(ledger)) as opened:
        job = Run(register(spec, opened), ledger)
    report = assault(
        job,
        spec,
        faults=faults,
        kinds=("worker", "driver", "both"),
        every_s=EVERY_S,
        seed=seed,
        folder=folder,
    )
    with closing(open_at(ledger)) as opened:
        shards = [index for index, _ in opened.receipts(job.id)]
    return report, looked(database, rows, shards)


def looked(database: str, rows: int, shards: list[int]) -> Findings:
    """Look with the database's own words, not with those of the job.

    Args:
        database: its tables `answers` and `_oag_commit`.
        rows: that there were to be answered.
        shards: that were committed, as the ledger has it.
    """
    found = Counter(dict(_asked(database, "select id, count(*) from answers group by id")))
    said = dict(_asked(database, "select id, output from answers"))
    committed = Counter(shard for (shard,) in _asked(database, "select shard from _oag_commit"))
    return Findings(
        lost=[n for n in range(rows) if n not in found],
        twice=[n for n, count in found.items() if count > 1],
        strange=[n for n, output in said.items() if output != f"ROW {n}"],
        twice_committed=[shard for shard, count in committed.items() if count > 1],
        uncommitted=sorted(set(shards) ^ set(committed)),
    )


def _asked(database: str, query: str) -> list[tuple[Any, ...]]:
    if database.startswith("sqlite"):
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as file:
            return file.execute(query).fetchall()
    import psycopg

    with psycopg.connect(database) as server:
        return server.execute(query.encode()).fetchall()


def _places(folder: Path, to: str, stack: ExitStack) -> tuple[str, str]:
    """Return the database of the tables and the ledger, in the same kind of database."""
    if to == "sqlite":
        return f"sqlite:///{folder}/rows.db", f"sqlite:///{folder}/ledger.db"
    server = started_server(folder, stack)
    return server.url(server.create_database()), server.url(server.create_database())


def main() -> None:
    """Attack, count, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=LONG)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", choices=("postgresql", "sqlite"), default="postgresql")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="openautoglm-soak-"))
        os.environ["OPENAUTOGLM_HOME"] = name
        database, ledger = _places(Path(name), asked.to, stack)
        report, found = run(Path(name), database, ledger, faults=asked.faults, seed=asked.seed)
    each = (report.repeated or 0) / max(1, report.hits)
    rows = [
        told("rows", report.rows),
        at_least("processes killed", report.hits, asked.faults),
        told("of which", dict(report.faults)),
        none("rows lost", found.lost),
        none("rows there twice", found.twice),
        none("rows with another answer", found.strange),
        none("shards in _oag_commit twice", found.twice_committed),
        none("shards in it or in the ledger, not in both", found.uncommitted),
        none("rows in quarantine", range(report.quarantined)),
        at_most("calls repeated for each kill", each, (CONCURRENCY + UNWRITTEN) * 2),
        at_least("part of the answers kept at a kill", report.kept, 0.99),
        told("state", report.state),
    ]
    finish(
        f"a table of {asked.to} under attack",
        msgspec.to_builtins({"report": report, "findings": found}),
        rows,
    )


if __name__ == "__main__":
    main()
