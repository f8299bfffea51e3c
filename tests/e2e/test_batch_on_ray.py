"""Batches on a real Ray of several nodes, with a ledger in PostgreSQL: the commands, and who dies.

Nodes are killed as machines fail, drivers by SIGKILL; every row is answered once all the same.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from openautoglm.errors import ClusterError
from openautoglm.jobs.batch_job import BatchJob
from openautoglm.jobs.home import open_at
from openautoglm.jobs.notes import DIED, WORKER, Began, Notes
from openautoglm.jobs.run import Run
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ray_nodes import RayNodes

    from openautoglm.jobs.presence import Presence

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
OAG: Final = str(Path(sys.executable).parent / "oag")
WORK: Final = """
import os, time
from pathlib import Path

NOTED = Path(os.environ["OPENAUTOGLM_TEST_CALLS"])
CALLS = os.open(NOTED, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
GATE = NOTED.with_name("gate")
LONGEST_S = 300.0

def wait_for_gate():
    ends_s = time.monotonic() + LONGEST_S
    while not GATE.exists() and time.monotonic() < ends_s:
        time.sleep(0.01)

def slow(row):
    os.write(CALLS, b".")
    time.sleep(0.005)
    return {"twice": row["n"] * 2}

def slow_then_gated(row):
    NOTED.with_name(f"at-work-{os.getpid()}").touch()
    answer = slow(row)
    if row["n"] >= 1000:
        wait_for_gate()
    return answer

def deadly(row):
    if row["n"] == 7:
        os._exit(1)
    return {"twice": row["n"] * 2}

def gated(row):
    if row["n"] >= 10:
        wait_for_gate()
    return {"twice": row["n"] * 2}
"""
CONCURRENCY: Final = 8
UNWRITTEN: Final = 100
"""Rows that may be answered and not yet journalled when a worker is killed."""
LONGEST_S: Final = 120.0


class Site:
    """A folder with rows, and jobs over them on the cluster."""

    def __init__(self, folder: Path, ledger: str, nodes: RayNodes) -> None:
        self.ledger, self.nodes = ledger, nodes
        self.calls, self.gate = folder / "calls", folder / "gate"
        self._folder = folder
        self.sink = folder / "out.jsonl"

    def job(self, function: str, rows: int, **more: Any) -> BatchJob:  # noqa: ANN401 - of a job
        """Describe a job of numbered rows."""
        source = self._folder / "in.jsonl"
        source.write_text("".join(f'{{"n": {n}}}\n' for n in range(rows)))
        given = {"workers": 2, "concurrency": CONCURRENCY, "shard_rows": 100, **more}
        return BatchJob(
            source=str(source), sink=str(self.sink), function=f"ray_work:{function}", **given
        )

    def submit(self, job: BatchJob) -> Run:
        """Start a job on the cluster, in a process of its own."""
        return job.submit(ledger=self.ledger, engine=self.nodes.address)

    def workers(self, run: Run) -> list[Presence]:
        """Return the workers that were noted so far and that are there."""
        with closing(open_at(self.ledger)) as ledger:
            noted = [e.data for e in ledger.events(run.id, limit=1000) if e.kind == WORKER]
        found = [msgspec.json.decode(data, type=Began).presence for data in noted]
        return [presence for presence in found if not presence.is_gone()]

    def at_work(self) -> int:
        """Return how many workers began a row of a gated job."""
        return len(list(self._folder.glob("at-work-*")))

    def endings(self, run: Run) -> list[str]:
        """Return how workers ended that should not have."""
        with closing(open_at(self.ledger)) as ledger:
            noted = [e.data for e in ledger.events(run.id, limit=1000) if e.kind == DIED]
        return [str(json.loads(data)["said"]) for data in noted]

    def kill_driver(self, run: Run) -> None:
        """Kill the driver of a job as the kernel does."""
        with closing(open_at(self.ledger)) as ledger:
            began = Notes(ledger, run.id).driver()
        assert began is not None
        os.kill(began.presence.pid, signal.SIGKILL)
        until(began.presence.is_gone, timeout_s=LONGEST_S)

    def check(self, rows: int, *, kills: int) -> None:
        """See every row once in the sink, and few answered again."""
        lines = self.sink.read_text().splitlines()
        assert sorted(json.loads(line)["twice"] for line in lines) == [2 * n for n in range(rows)]
        assert self.calls.stat().st_size <= rows + kills * (CONCURRENCY + UNWRITTEN)


@pytest.fixture
def site(
    tmp_path: Path, ray_nodes: RayNodes, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    (tmp_path / "ray_work.py").write_text(WORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAUTOGLM_TEST_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("OPENAUTOGLM_WORKER_GRACE_S", "0.1")
    monkeypatch.delenv("OPENAUTOGLM_ENGINE", raising=False)
    made = Site(tmp_path, postgres_url, ray_nodes)
    yield made
    made.gate.touch()


def raylet_of(worker: Presence) -> int:
    """Return the process of Ray's that a worker's node is: the parent of its parent."""
    return parent(parent(worker.pid))


def parent(process: int) -> int:
    stat = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
    return int(stat.rpartition(")")[2].split()[1])


def wait_for(run: Run, done: int) -> None:
    """Wait until so many rows of a job that runs are done."""
    for progress in run.watch(0.02):
        assert progress.state in {"planned", "running"}, progress.reason
        if progress.counts.done >= done:
            return


def test_a_node_that_is_killed_costs_no_row_and_doubles_none(site: Site) -> None:
    run = site.submit(site.job("slow_then_gated", 3000))
    until(lambda: len(site.workers(run)) == site.at_work() == 2, timeout_s=LONGEST_S)
    assert len({raylet_of(worker) for worker in site.workers(run)}) == 2
    wait_for(run, 500)
    site.nodes.kill(site.nodes.nodes.pop())
    site.nodes.nodes.append(site.nodes.add())
    until(lambda: "lost" in site.endings(run), timeout_s=LONGEST_S)
    site.gate.touch()
    assert run.wait(LONGEST_S).state == "done"
    site.check(3000, kills=1)


def test_a_job_whose_driver_is_killed_goes_on_on_the_cluster_and_on_one_machine(site: Site) -> None:
    run = site.submit(site.job("slow", 4000))
    wait_for(run, 300)
    workers = site.workers(run)
    site.kill_driver(run)
    until(lambda: all(worker.is_gone() for worker in workers), timeout_s=LONGEST_S)
    run.resume(background=True, engine=site.nodes.address)
    wait_for(run, run.status().counts.done + 300)
    site.kill_driver(run)
    assert run.resume(engine="local").state == "done"
    site.check(4000, kills=4)


def test_a_job_that_is_cancelled_or_interrupted_leaves_no_worker(site: Site) -> None:
    run = site.submit(site.job("gated", 100, shard_rows=50))
    until(lambda: len(site.workers(run)) == 2, timeout_s=LONGEST_S)
    run.cancel()
    until(lambda: not site.workers(run), timeout_s=LONGEST_S)
    assert run.status().state == "cancelled"
    command = [OAG, "batch", "resume", run.id, "--engine", site.nodes.address, "--progress", "none"]
    environment = {**os.environ, "OPENAUTOGLM_LEDGER": site.ledger}
    resumed = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: len(site.workers(run)) == 2, timeout_s=LONGEST_S)
    resumed.send_signal(signal.SIGINT)
    out, err = resumed.communicate(timeout=LONGEST_S)
    assert (resumed.returncode, out) == (130, ""), err
    assert f"to go on: oag batch resume {run.id} --engine {site.nodes.address}" in err
    assert run.status().state == "paused"
    assert not site.workers(run)


@pytest.mark.usefixtures("ray_joined")
def test_a_row_that_ends_its_worker_is_put_aside_and_all_others_are_answered(site: Site) -> None:
    job = site.job("deadly", 60, workers=1, shard_rows=20)
    run = job.run(ledger=site.ledger, engine=site.nodes.address)
    assert run.status().state == "done"
    (row,) = run.errors()
    assert json.loads(row.values or b"{}")["n"] == 7
    assert json.loads(row.error or b"{}")["code"] == "OAG808"
    with closing(open_at(site.ledger)) as ledger:
        deaths = [event for event in ledger.events(run.id, limit=1000) if "died" in event.kind]
    assert 1 <= len(deaths) <= 3
    assert run.status().counts.ok == 59


@pytest.mark.usefixtures("ray_joined")
def test_workers_that_no_node_can_hold_are_refused_and_the_error_says_what_is_lacking(
    site: Site,
) -> None:
    job = site.job("slow", 10, resources={"oag-camera": 1})
    with pytest.raises(ClusterError, match="no node has oag-camera 1") as caught:
        job.run(ledger=site.ledger, engine=site.nodes.address)
    assert str(caught.value.got).count("CPU 1") >= 2  # other tests may add nodes
    (left,) = Run.all(ledger=site.ledger)
    assert left.state == "planned"
