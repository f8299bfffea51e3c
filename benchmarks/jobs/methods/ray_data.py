"""Ray Data with its job checkpoints; rows of a batch are answered by threads.

One file is one block unless it is told otherwise, which one process would work on alone, and of
which a killed run keeps nothing: it is read as blocks of a few thousand rows.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.data.checkpoint import CheckpointConfig
from rows import answer

task = json.loads(sys.argv[1])
THREADS = task["in_flight"] // task["processes"]
BATCH = 4096
BLOCK_ROWS = 10_000


def answered(batch: dict[str, list[str]]) -> dict[str, list[str]]:
    """Answer a batch."""
    rows = [{"text": text} for text in batch["text"]]
    with ThreadPoolExecutor(THREADS) as pool:
        outputs = [str(found["output"]) for found in pool.map(answer, rows)]
    return {"id": list(batch["id"]), "output": outputs}


folder = Path(task["sink"]).parent
environment = {"PYTHONPATH": str(Path(__file__).parents[1]), **os.environ}
ray.init(
    num_cpus=task["processes"],
    include_dashboard=False,
    logging_level=logging.ERROR,
    log_to_driver=False,
    _temp_dir=str(folder / "ray"),
    runtime_env={"env_vars": {k: v for k, v in environment.items() if k.startswith(("OAG", "PY"))}},
)
context = ray.data.DataContext.get_current()
context.enable_progress_bars = False
context.checkpoint_config = CheckpointConfig(
    id_column="id", checkpoint_path=str(folder / "ray-checkpoint")
)
began_s = time.perf_counter()
blocks = max(task["processes"], task["rows"] // BLOCK_ROWS)
rows = ray.data.read_json(task["source"], lines=True, override_num_blocks=blocks)
rows.map_batches(answered, batch_size=BATCH).write_json(task["sink"])
seconds = time.perf_counter() - began_s
ray.shutdown()
print(json.dumps({"seconds": seconds, "rows": task["rows"]}))
