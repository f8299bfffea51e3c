"""A planned job on a SQLite ledger, and workers for it: in this process, or of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, final

import msgspec
import pytest

from openautoglm.data import open_source
from openautoglm.jobs.ledger import open_ledger
from openautoglm.jobs.orders import Orders, Report
from openautoglm.jobs.running import worker
from openautoglm.jobs.spec import JobSpec
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import RowOutcome

JOB: Final = "letters-1"
PROGRAM: Final = (sys.executable, "-m", "openautoglm.jobs.running.worker")
GRACE_S: Final = 0.2


@final
class Site:
    """A folder with a source, a sink, a ledger and the functions of a job."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.source = folder / "in.jsonl"
        self.sink = folder / "out"
        self.url = url or f"sqlite:///{folder / 'ledger.db'}"
        self.ledger: Ledger = open_ledger(self.url)
        self.functions: dict[str, Callable[..., object]] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self._owners = count(1)

    def rows(self, number: int) -> None:
        """Make numbered rows those of the source."""
        self.lines(json.dumps({"n": n}) for n in range(number))

    def lines(self, lines: Iterable[str]) -> None:
        """Make these the lines of the source."""
        self.source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def plan(
        self,
        function: Callable[[dict[str, Any]], object] | str | None,
        *,
        job: str = JOB,
        **fields: Any,  # noqa: ANN401 - of a job
    ) -> JobSpec:
        """Add a job that runs, all its shards planned; its function may be one of the test."""
        if callable(function):
            self.functions["function"] = function
            module = ModuleType("oag_functions_of_a_test")
            module.__dict__.update(self.functions)
            sys.modules[module.__name__] = module
            function = f"{module.__name__}:function"
        given = {"shard_rows": 10, "concurrency": 4, "backoff_s": 0.001, **fields}
        given = {"sink": f"jsonl+file://{self.sink}/", **given}
        spec = JobSpec(source=str(self.source), function=function, **given)
        self.ledger.add_job(job, name="letters", spec=msgspec.json.encode(spec), fingerprint={})
        source = open_source(spec.source)
        self.ledger.add_shards(job, list(source.shards(rows=spec.shard_rows)))
        self.ledger.end_plan(job)
        assert self.ledger.set_state(job, "running", among=frozenset({"planned"}))
        return spec

    def orders(self, **given: Any) -> Orders:  # noqa: ANN401 - of orders
        """Return orders for a worker that has not been there before."""
        plain: dict[str, Any] = {
            "ledger": self.url,
            "job": JOB,
            "index": 0,
            "of": 1,
            "lease_s": 30.0,
        }
        return Orders(**{**plain, "owner": f"w{next(self._owners)}", **given})

    def work(
        self,
        *,
        is_told: Callable[[], bool] = lambda: False,
        grace_s: float = GRACE_S,
        **given: Any,  # noqa: ANN401 - of orders
    ) -> Report:
        """Be a worker in this process until it ends."""
        return worker.run(self.orders(**given), is_told=is_told, grace_s=grace_s)

    def start(self, **given: Any) -> tuple[subprocess.Popen[bytes], Orders]:  # noqa: ANN401 - of orders
        """Start a worker as a driver does; its functions are modules in the folder."""
        path = os.pathsep.join((str(self.folder), os.environ.get("PYTHONPATH", "")))
        environment = {**os.environ, "PYTHONPATH": path, "OPENAUTOGLM_WORKER_GRACE_S": str(GRACE_S)}
        orders = self.orders(**given)
        process = subprocess.Popen(
            PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.processes.append(process)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        process.stdin.flush()
        return process, orders

    def heard(self, process: subprocess.Popen[bytes]) -> Report:
        """Return what a worker says at its end; its standard input stays open until then."""
        assert process.stdout is not None
        report = msgspec.json.decode(process.stdout.read(), type=Report)
        process.wait(30)
        return report

    def answers(self) -> list[dict[str, Any]]:
        """Return the rows of the sink, part by part."""
        return [row for part in self.parts() for row in part]

    def parts(self) -> list[list[dict[str, Any]]]:
        """Return the rows of each part."""
        files = sorted(self.sink.glob("*.jsonl"))
        return [[json.loads(line) for line in f.read_text("utf-8").splitlines()] for f in files]

    def failed(self) -> dict[str, Mapping[str, Any]]:
        """Return the errors of the rows in quarantine, by key."""
        return {q.key: json.loads(q.error) for q in self.ledger.quarantined(JOB)}

    def keep(self, owner: str, outcomes: Iterable[RowOutcome]) -> Any:  # noqa: ANN401 - a claim
        """Claim a shard and journal outcomes, as a worker that dies then."""
        claim = self.ledger.claim(JOB, owner, lease_s=30.0)
        assert claim is not None
        self.ledger.journal(claim, list(outcomes), handed=0, lease_s=30.0)
        return claim


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty site, whose home is in it."""
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    yield from _opened(Site(tmp_path))


@pytest.fixture
def far_site(tmp_path: Path, postgres_url: str) -> Iterator[Site]:
    """An empty site whose ledger is in PostgreSQL."""
    yield from _opened(Site(tmp_path, postgres_url))


def _opened(made: Site) -> Iterator[Site]:
    yield made
    for process in made.processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
    made.ledger.close()
    sys.modules.pop("oag_functions_of_a_test", None)


@final
class Worker:
    """A worker in a thread of this process."""

    def __init__(self, site: Site, **given: Any) -> None:  # noqa: ANN401 - of `Site.work`
        self.is_told = False
        self.report: Report | None = None
        self._site, self._given = site, given
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_told = True
        self._thread.join()

    def end(self) -> Report:
        """Wait for its end."""
        until(lambda: self.report is not None)
        assert self.report is not None
        return self.report

    def _run(self) -> None:
        self.report = self._site.work(is_told=lambda: self.is_told, **self._given)


@pytest.fixture
def working(site: Site) -> Callable[..., Worker]:
    """A function to a worker in a thread, for a `with`."""
    return lambda **given: Worker(site, **given)
