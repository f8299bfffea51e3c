"""Celery with Redis: each row, or some, is a task, acknowledged when it returned.

Workers are processes with a pool of threads, as for work that waits; rows of one task are answered
by threads too. Results are kept in Redis and read as they come.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from celery import Celery, group
from rows import answer, read

if TYPE_CHECKING:
    from collections.abc import Iterator

task = json.loads(sys.argv[1] if __name__ == "__main__" else os.environ["OAG_BENCHMARK_TASK"])
under_way = task["in_flight"] // task["processes"]
pool = ThreadPoolExecutor(min(under_way, task["chunk"]))
app = Celery("celery_redis", broker=task["server"], backend=task["server"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_track_started=False,
    worker_prefetch_multiplier=4,
    result_expires=3600,
)


@app.task(name="rows.work")
def work(rows: list[dict[str, str]]) -> list[dict[str, object]]:
    """Answer rows."""
    found = pool.map(answer, rows) if len(rows) > 1 else map(answer, rows)
    return [{"id": row["id"], **outputs} for row, outputs in zip(rows, found, strict=True)]


def start_worker(number: int) -> subprocess.Popen[bytes]:
    """Start a process that works on tasks."""
    tasks = str(max(1, under_way // task["chunk"]))
    command = [sys.executable, "-m", "celery", "-A", "celery_redis", "worker", "--loglevel=ERROR"]
    options = ["--pool=threads", f"--concurrency={tasks}", f"--hostname=w{number}@%h"]
    return subprocess.Popen(
        [*command, *options, "--without-gossip", "--without-mingle"],
        cwd=Path(__file__).parent,
        env={**os.environ, "OAG_BENCHMARK_TASK": sys.argv[1]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def chunks() -> Iterator[list[dict[str, str]]]:
    """Yield the rows of each task."""
    rows = read(Path(task["source"]))
    while batch := list(islice(rows, task["chunk"])):
        yield batch


def main() -> None:
    """Start workers, send the rows, keep what comes back."""
    folder = Path(task["sink"])
    folder.mkdir()
    workers = [start_worker(number) for number in range(task["processes"])]
    try:
        while len(app.control.ping(timeout=0.1)) < len(workers):
            if any(process.poll() is not None for process in workers):
                sys.exit("a worker did not start")
        began_s, count = time.perf_counter(), 0
        sent = group(work.s(batch) for batch in chunks()).apply_async()
        with (folder / "part.jsonl").open("w") as lines:
            for found in sent.join_native():
                lines.writelines(json.dumps(row) + "\n" for row in found)
                count += len(found)
        print(json.dumps({"seconds": time.perf_counter() - began_s, "rows": count}))
    finally:
        for process in workers:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
