"""A batch under every kind of fault: its processes, its disk, its clock, its ledger, its server.

Rows go from a file through a model server into a file. Every row must be in the sink or in
quarantine, once, and no more calls may be repeated than were under way at a fault. `--ledger
postgresql` keeps the ledger in a server that crashes as well. `python tests/soak/chaos.py` is the
long form.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from server import started_server  # type: ignore[import-not-found] # beside
from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.jobs.chaos.assault import assault
from openautoglm.jobs.chaos.serving import between
from openautoglm.jobs.home import open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run
from openautoglm.jobs.spec import JobSpec, Rate
from openautoglm.testing.openai_server import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres_server import PostgresServer

    from openautoglm.jobs.chaos.report import ChaosReport

LONG: Final = 120
ROWS_PER_FAULT: Final = 200
ROWS_PER_S: Final = 150.0
EVERY_S: Final = (0.3, 1.2)
PAUSE_S: Final = 2.0


def job(folder: Path, server: str, rows: int) -> JobSpec:
    """Return the job, its source written."""
    source = folder / "rows.jsonl"
    with source.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"id": i, "text": f"row {i}"}) + "\n" for i in range(rows))
    return JobSpec(
        source=str(source),
        sink=f"{folder}/out.jsonl",
        template="{text}",
        model=server,
        options={"max_retries": 0, "timeout_s": 5.0},
        id_column="id",
        workers=2,
        concurrency=16,
        shard_rows=100,
        tries=50,
        backoff_s=0.05,
        rate=Rate(rows_per_s=ROWS_PER_S),
    )


def run(folder: Path, stack: ExitStack, *, faults: int, seed: int, is_far: bool) -> ChaosReport:
    """Run the job under attack."""
    ledger, restart = f"sqlite:///{folder}/ledger.db", None
    if is_far:
        database = started_server(folder, stack)
        ledger, restart = database.url(), stack.enter_context(commanded(database, folder))
    server = stack.enter_context(OpenAIServer())
    made = job(folder, server.url, faults * ROWS_PER_FAULT)
    spec, proxy = stack.enter_context(between(made))
    with closing(open_at(ledger)) as opened:
        planned = Run(register(spec, opened), ledger)
    return assault(
        planned,
        spec,
        faults=faults,
        every_s=EVERY_S,
        pause_s=PAUSE_S,
        seed=seed,
        folder=folder,
        proxy=proxy,
        restart=restart,
    )


@contextmanager
def commanded(server: PostgresServer, folder: Path) -> Iterator[str]:
    """Yield a command for the shell that crashes a server of this process and starts it again."""
    asked, done = folder / "asked", folder / "done"
    os.mkfifo(asked)
    os.mkfifo(done)

    def serve() -> None:
        while asked.read_text() == "again\n":
            server.stop(signal.SIGQUIT)
            server.start()
            done.write_text("it runs\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"echo again > {asked} && cat {done}"
    finally:
        if thread.is_alive():  # else nobody reads it
            asked.write_text("end\n")
        thread.join()


def main() -> None:
    """Attack, count, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=LONG)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", choices=("sqlite", "postgresql"), default="sqlite")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="openautoglm-soak-") as name, ExitStack() as stack:
        os.environ["OPENAUTOGLM_HOME"] = name
        is_far = asked.ledger == "postgresql"
        found = run(Path(name), stack, faults=asked.faults, seed=asked.seed, is_far=is_far)
    never = [kind for kind, count in found.faults.items() if not count]
    rows = [
        told("rows", found.rows),
        at_least("faults that were met", found.hits, asked.faults),
        *(told(f"  {kind}", count) for kind, count in found.faults.items()),
        told("faults that nobody met", dict(found.unmet)),
        none("kinds that were never met", never if asked.faults >= LONG else []),
        told("wrong answers of the server", sum(found.server_answers.values())),
        told("pauses, and failures, under a fault", found.resumed),
        none("rows lost", range(found.lost)),
        none("rows doubled", range(found.doubled)),
        none("rows in quarantine", range(found.quarantined)),
        at_most("calls repeated", found.repeated, found.allowed),
        at_least("part of the answers kept at a kill", found.kept, 0.99),
        told("state", found.state),
    ]
    finish(f"a batch under every fault, ledger: {asked.ledger}", msgspec.to_builtins(found), rows)


if __name__ == "__main__":
    main()
