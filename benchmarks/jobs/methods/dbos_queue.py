"""DBOS with PostgreSQL, its production database: each row, or some, is a workflow of a queue.

Processes of its own work on the queue, each with as many workflows under way as it may; this one
puts rows into it, all of a thousand in one transaction, and reads what came of them from the
database. The queue is looked at every 50 ms instead of every second, which would be its limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig
from rows import answer, read

TOGETHER = 1000
POLL_S = 0.05
VERSION = "1"
QUEUE = "rows"

task = json.loads(sys.argv[1])
under_way = task["in_flight"] // task["processes"]
pool = ThreadPoolExecutor(min(under_way, task["chunk"]))


@DBOS.workflow(name="work")
def work(rows: list[dict[str, str]]) -> list[dict[str, object]]:
    """Answer rows; what is returned is kept."""
    found = pool.map(answer, rows) if len(rows) > 1 else map(answer, rows)
    return [{"id": row["id"], **outputs} for row, outputs in zip(rows, found, strict=True)]


def worker(name: str) -> None:
    """Work on the queue until standard input ends."""
    config: DBOSConfig = {
        "name": "benchmark",
        "system_database_url": task["server"],
        "executor_id": name,
        "application_version": VERSION,
        "log_level": "ERROR",
        "run_admin_server": False,
        "sys_db_pool_size": 20,
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(
        QUEUE, worker_concurrency=max(1, under_way // task["chunk"]), polling_interval_sec=POLL_S
    )
    print("ready", flush=True)
    sys.stdin.read()
    DBOS.destroy()


def send(client: DBOSClient) -> int:
    """Put all rows into the queue; return how many."""
    engine = sa.create_engine(task["server"].replace("postgresql:", "postgresql+psycopg:"))
    rows, count = read(Path(task["source"])), 0
    while batch := list(islice(rows, max(TOGETHER, task["chunk"]))):
        with engine.begin() as connection:
            for at in range(0, len(batch), task["chunk"]):
                client.enqueue_in_transaction(
                    connection,
                    {"workflow_name": "work", "queue_name": QUEUE, "app_version": VERSION},
                    batch[at : at + task["chunk"]],
                )
        count += len(batch)
    engine.dispose()
    return count


def receive(client: DBOSClient, target: Path) -> None:
    """Write what came of the rows when all are done."""
    while client.list_queued_workflows(queue_name=QUEUE, limit=1, load_input=False):
        time.sleep(POLL_S)
    with target.open("w") as lines:
        for found in client.list_workflows(name="work", load_input=False):
            if found.output is not None:
                lines.writelines(json.dumps(row) + "\n" for row in found.output)


def main() -> None:
    """Start workers, then do the rows."""
    folder = Path(task["sink"])
    folder.mkdir()
    command = [sys.executable, __file__, sys.argv[1]]
    workers = [
        subprocess.Popen([*command, f"w{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in range(task["processes"])
    ]
    try:
        ready = [process.stdout.readline() for process in workers if process.stdout]
        if b"" in ready:
            sys.exit("a worker did not start")
        client = DBOSClient(system_database_url=task["server"])
        began_s = time.perf_counter()
        count = send(client)
        receive(client, folder / "part.jsonl")
        print(json.dumps({"seconds": time.perf_counter() - began_s, "rows": count}))
        client.destroy()
    finally:
        for process in workers:
            process.communicate()


if __name__ == "__main__":
    worker(sys.argv[2]) if sys.argv[2:] else main()
