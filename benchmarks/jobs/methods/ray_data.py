"""Ray Data with its job checkpoints; rows of a batch are answered by threads."""

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

import ray
from ray.data.checkpoint import CheckpointConfig
from rows import answer

task = json.loads(sys.argv[1])
THREADS = task["in_flight"] // task["processes"]


def answered(batch: dict[str, list[str]]) -> dict[str, list[str]]:
    """Answer a batch."""
    rows = [{"text": text} for text in batch["text"]]
    with ThreadPoolExecutor(THREADS) as pool:
        outputs = [str(found["output"]) for found in pool.map(answer, rows)]
    return {"id": list(batch["id"]), "output": outputs}


environment = {"PYTHONPATH": str(Path(__file__).parents[1]), **os.environ}
ray.init(
    num_cpus=task["processes"],
    include_dashboard=False,
    logging_level=logging.ERROR,
    log_to_driver=False,
    runtime_env={"env_vars": {k: v for k, v in environment.items() if k.startswith(("OAG", "PY"))}},
)
context = ray.data.DataContext.get_current()
context.enable_progress_bars = False
folder = Path(task["sink"]).parent / "ray-checkpoint"
context.checkpoint_config = CheckpointConfig(id_column="id", checkpoint_path=str(folder))
began_s = time.perf_counter()
rows = ray.data.read_json(task["source"], lines=True)
rows.map_batches(answered, batch_size=1000, num_cpus=1).write_json(task["sink"])
seconds = time.perf_counter() - began_s
ray.shutdown()
print(json.dumps({"seconds": seconds, "rows": task["rows"]}))
