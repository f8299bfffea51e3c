"""A `BatchJob` with a function for each row."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from openautoglm import BatchJob

task = json.loads(sys.argv[1])
described = {
    "source": task["source"],
    "sink": f"jsonl+file://{task['sink']}/",
    "function": "rows:answer",
    "id_column": "id",
    "workers": task["processes"],
    "concurrency": task["in_flight"] // task["processes"],
}
job = BatchJob(**(described | task["job"]))
began_s = time.perf_counter()
done = job.run(ledger=f"sqlite:///{Path(task['sink']).parent}/ledger.db").status()
print(json.dumps({"seconds": time.perf_counter() - began_s, "rows": done.counts.ok}))
