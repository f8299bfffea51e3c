"""What the ledger costs: rows kept, shards claimed and committed, counts of large jobs.

python benchmarks/jobs/ledger.py [--url postgresql://…] [--shards 10000] [--json PATH]

Without a URL the ledger is an SQLite file in a new folder of the working directory. A plain file
that is synced after each batch is measured beside it: no journal that survives a power failure
with each batch can be faster than that.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from openautoglm.data import Shard
from openautoglm.jobs.ledger import open_ledger
from openautoglm.jobs.ledger.records import RowOutcome
from timing import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.ledger.ledger import Ledger

SHARD_ROWS: Final = 1000
PAYLOAD: Final = b'{"text":"' + b"x" * 200 + b'"}'
LEASE_S: Final = 30.0
Figure = dict[str, str | int | float | None]


def begun(ledger: Ledger, shards: int) -> str:
    """Return a job that runs and has so many shards."""
    job = f"bench-{uuid.uuid4().hex[:8]}"
    ledger.add_job(job, name="bench", spec=b"{}", fingerprint={})
    ledger.add_shards(job, [Shard(index=at, rows=SHARD_ROWS) for at in range(shards)])
    ledger.set_state(job, "running", among=frozenset({"planned"}))
    return job


def rows_per_s(ledger: Ledger, batch: int, shards: int) -> dict[str, float]:
    """Work through shards as a worker does; return rows a second of journal, reading and all."""
    job = begun(ledger, shards)
    journal_s = outcomes_s = 0.0
    start = time.perf_counter()
    while (claim := ledger.claim(job, "bench", lease_s=LEASE_S)) is not None:
        rows = [
            RowOutcome(ordinal=at, key=f"row-{at:09d}", outcome="ok", payload=PAYLOAD, tokens=50)
            for at in range(SHARD_ROWS)
        ]
        before = time.perf_counter()
        for at in range(0, SHARD_ROWS, batch):
            ledger.journal(claim, rows[at : at + batch], handed=at + batch, lease_s=LEASE_S)
        between = time.perf_counter()
        read = sum(1 for _ in ledger.outcomes(claim))
        outcomes_s += time.perf_counter() - between
        journal_s += between - before
        ledger.commit(claim, None)
        if read != SHARD_ROWS:
            sys.exit(f"{read} rows came back of {SHARD_ROWS}")
    every = shards * SHARD_ROWS
    whole_s = time.perf_counter() - start
    if ledger.counts(job).ok != every:
        sys.exit("rows were lost")
    return {
        "journal": every / journal_s,
        "outcomes": every / outcomes_s,
        "with claims, commits": every / whole_s,
    }


def claims_per_s(ledger: Ledger, job: str, count: int) -> float:
    """Claim and commit shards of a large job."""
    start = time.perf_counter()
    for _ in range(count):
        claim = ledger.claim(job, "bench", lease_s=LEASE_S)
        if claim is None:
            sys.exit("there are fewer shards than were planned")
        ledger.commit(claim, None)
    return count / (time.perf_counter() - start)


def median_ms(act: Callable[[], object], times: int = 21) -> float:
    """Return the median of some runs, in milliseconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def synced_file_rows_per_s(folder: Path, batch: int, rows: int) -> float:
    """Append batches to a file, synced after each: the floor of a durable journal."""
    with (folder / "floor").open("wb", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(0, rows, batch):
            file.write(PAYLOAD * batch)
            os.fdatasync(file.fileno())
        return rows / (time.perf_counter() - start)


def main() -> None:
    """Measure, print a table, and write JSON where `--json PATH` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--shards", type=int, default=10_000)
    asked, rest = parser.parse_known_args()
    folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=Path.cwd()))
    ledger = open_ledger(asked.url or f"sqlite:///{folder / 'ledger.db'}")
    figures: list[Figure] = []
    try:
        for batch in (10, 100, 1000):
            found = [rows_per_s(ledger, batch, 20) for _ in range(3)]
            figures += [
                {"what": f"{name}, batches of {batch}", "value": round(statistics.median(
                    one[name] for one in found)), "unit": "rows/s"}
                for name in found[0]
            ]  # fmt: skip
        floor = statistics.median(synced_file_rows_per_s(folder, 100, 20_000) for _ in range(3))
        figures.append(
            {"what": "a file synced after each 100", "value": round(floor), "unit": "rows/s"}
        )
        start = time.perf_counter()
        job = begun(ledger, asked.shards)
        planned = asked.shards / (time.perf_counter() - start)
        figures.append({"what": "planned", "value": round(planned), "unit": "shards/s"})
        pairs = claims_per_s(ledger, job, min(1000, asked.shards // 2))
        figures.append(
            {"what": f"claim and commit of {asked.shards}", "value": round(pairs), "unit": "/s"}
        )
        counts = median_ms(lambda: ledger.counts(job))
        figures.append(
            {"what": f"counts of {asked.shards} shards", "value": round(counts, 2), "unit": "ms"}
        )
    finally:
        ledger.close()
        shutil.rmtree(folder)
    sys.argv[1:] = rest  # `--json`, which `report` reads
    report("The ledger of jobs", figures, notes="Medians of three.")


if __name__ == "__main__":
    main()
