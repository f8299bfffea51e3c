"""DBOS on its default SQLite: each row is a step of a queued workflow."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dbos import DBOS, Queue
from rows import answer, read

task = json.loads(sys.argv[1])
folder = Path(task["sink"])
folder.mkdir()
database = f"sqlite:///{folder.parent}/dbos.sqlite"
DBOS(config={"name": "rows", "system_database_url": database, "log_level": "ERROR"})
queue = Queue("rows", worker_concurrency=task["in_flight"])


@DBOS.step()
def step(row: dict[str, str]) -> dict[str, object]:
    """Answer a row."""
    return answer(row)


@DBOS.workflow()
def work(row: dict[str, str]) -> dict[str, object]:
    """Answer a row and keep what came."""
    return {"id": row["id"], **step(row)}


DBOS.launch()
began_s = time.perf_counter()
handles = [queue.enqueue(work, row) for row in read(Path(task["source"]))]
with (folder / "part.jsonl").open("w") as lines:
    for handle in handles:
        lines.write(json.dumps(handle.get_result()) + "\n")
print(json.dumps({"seconds": time.perf_counter() - began_s, "rows": len(handles)}))
DBOS.destroy()
