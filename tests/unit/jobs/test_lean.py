"""A batch that needs no model and no far data starts without what those need."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

PROGRAM: Final = """
import json, sys
import openautoglm.jobs.driver, openautoglm.jobs.running.worker
import openautoglm.jobs.batch_job, openautoglm.jobs.works.function
from openautoglm.jobs.ledger import open_ledger
from openautoglm.data import SOURCES, SINKS
SOURCES.get("jsonl"), SINKS.get("jsonl"), open_ledger(sys.argv[1]).close()
print(json.dumps(sorted(name.split(".")[0] for name in sys.modules)))
"""
HEAVY: Final = {
    "asyncio",
    "fsspec",
    "jsonschema",
    "llguidance",
    "numpy",
    "psycopg",
    "pyarrow",
    "rich",
    "sqlalchemy",
    "tokenizers",
    "torch",
    "transformers",
    "typer",
    "yaml",
}


def test_a_driver_and_a_worker_load_nothing_heavy(tmp_path: object) -> None:
    command = [sys.executable, "-c", PROGRAM, f"sqlite:///{tmp_path}/ledger.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert HEAVY.intersection(json.loads(done.stdout)) == set()
