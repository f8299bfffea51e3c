"""Celery with Redis, both started here: each row is a task, acknowledged when it returned."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

sys.path.insert(0, str(Path(__file__).parents[1]))

from celery import Celery
from rows import answer, read

URL = os.environ.setdefault("OAG_BENCHMARK_REDIS", "")
app = Celery("celery_redis", broker=URL or None, backend=URL or None)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, result_expires=3600)


@app.task(name="rows.work")
def work(row: dict[str, str]) -> dict[str, object]:
    """Answer a row."""
    return {"id": row["id"], **answer(row)}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main() -> None:
    """Start a server and workers, send the rows, keep what comes back."""
    task = json.loads(sys.argv[1])
    folder = Path(task["sink"])
    folder.mkdir()
    port = _free_port()
    server = subprocess.Popen(
        [which("redis-server") or "redis-server", "--port", str(port), "--appendonly", "yes"],
        cwd=folder.parent,
        stdout=subprocess.DEVNULL,
    )
    os.environ["OAG_BENCHMARK_REDIS"] = f"redis://127.0.0.1:{port}/0"
    threads = str(task["in_flight"] // task["processes"])
    command = [sys.executable, "-m", "celery", "-A", "celery_redis", "worker", "--loglevel=ERROR"]
    workers = [
        subprocess.Popen(
            [*command, "--pool=threads", f"--concurrency={threads}", f"--hostname=w{i}@%h"],
            cwd=Path(__file__).parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for i in range(task["processes"])
    ]
    try:
        app.conf.update(
            broker_url=os.environ["OAG_BENCHMARK_REDIS"],
            result_backend=os.environ["OAG_BENCHMARK_REDIS"],
        )
        while len(app.control.ping(timeout=1.0)) < len(workers):
            continue
        began_s = time.perf_counter()
        sent = [work.delay(row) for row in read(Path(task["source"]))]
        with (folder / "part.jsonl").open("w") as lines:
            for result in sent:
                lines.write(json.dumps(result.get()) + "\n")
        print(json.dumps({"seconds": time.perf_counter() - began_s, "rows": len(sent)}))
    finally:
        for process in [*workers, server]:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
