"""Every crew starts workers, hears how they end, and ends them, in the same way."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import pytest

from openautoglm.data import open_source
from openautoglm.jobs.crews.crew import Began, Ended
from openautoglm.jobs.crews.engine import Engine
from openautoglm.jobs.ledger import open_ledger
from openautoglm.jobs.orders import Orders
from openautoglm.jobs.spec import JobSpec
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ray_nodes import RayNodes

    from openautoglm.jobs.crews.crew import Crew, News

WORK: Final = """
import os, time
from pathlib import Path

def double(row):
    return {"twice": row["n"] * 2}

def deadly(row):
    os._exit(66)

def endless(row):
    Path(os.environ["OPENAUTOGLM_TEST_REACHED"]).touch()
    while True:
        time.sleep(0.01)
"""
LONGEST_S: Final = 60.0
T = TypeVar("T", Began, Ended)


class Hearing:
    """News of a crew, each of which is told once, to whoever waits for its kind."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._kept: list[News] = []

    def next(self, kind: type[T]) -> T:
        """Return the next news of a kind, and keep the others."""
        ends_s = time.monotonic() + LONGEST_S
        while True:
            for news in self._kept:
                if isinstance(news, kind):
                    self._kept.remove(news)
                    return news
            assert time.monotonic() < ends_s, f"no {kind.__name__} in {LONGEST_S} s"
            self._kept += self._crew.wait(1.0)


class Place:
    """A planned job, and crews for it."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._folder, self._engine = folder, engine
        self.ledger = f"sqlite:///{folder}/ledger.db"

    def crew(self, function: str, *, job: str = "j") -> Crew:
        """Plan a job of twenty rows, and return its crew, which is not entered."""
        source = self._folder / "in.jsonl"
        source.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(20)))
        spec = JobSpec(
            source=str(source),
            sink=f"jsonl+file://{self._folder}/out/",
            function=f"crew_work:{function}",
            shard_rows=10,
        )
        with closing(open_ledger(self.ledger)) as ledger:
            ledger.add_job("j", name="j", spec=msgspec.json.encode(spec), fingerprint={})
            ledger.add_shards("j", list(open_source(str(source)).shards(rows=10)))
            ledger.end_plan("j")
            ledger.set_state("j", "running", among=frozenset({"planned"}))
        orders = Orders(ledger=self.ledger, job=job, index=0, of=1, owner="", lease_s=30.0)
        return self._engine.crew(orders, {})

    def done(self) -> int:
        """Return how many shards are done."""
        with closing(open_ledger(self.ledger)) as ledger:
            return ledger.counts("j").shards_done


@pytest.fixture(params=["local", "ray"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAUTOGLM_TEST_REACHED", str(tmp_path / "reached"))
    (tmp_path / "crew_work.py").write_text(WORK)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    if request.param == "local":
        return Place(tmp_path, Engine.read("local"))
    nodes: RayNodes = request.getfixturevalue("ray_joined")
    return Place(tmp_path, Engine.read(nodes.address))


def test_a_worker_is_heard_to_begin_and_to_end_with_its_report(place: Place) -> None:
    with place.crew("double") as crew:
        owner = crew.start(0)
        assert crew.running == {0}
        news = Hearing(crew)
        began = news.next(Began)
        assert (began.index, began.owner) == (0, owner)
        ended = news.next(Ended)
        assert crew.running == frozenset()
    assert (ended.owner, ended.code, ended.ending) == (owner, 0, "returned")
    assert ended.report is not None
    assert ended.report.why == "done"
    assert place.done() == 2
    assert began.presence.is_gone()


def test_crashes_and_kills_are_told_apart_by_their_exit_codes(place: Place) -> None:
    with place.crew("deadly") as crew:
        first = crew.start(0)
        ended = Hearing(crew).next(Ended)
        assert (ended.owner, ended.code, ended.report, ended.ending) == (first, 66, None, "crashed")
        assert ended.how.startswith("ended with exit code 66")


def test_a_worker_that_somebody_kills_says_nothing_against_its_rows(place: Place) -> None:
    with place.crew("endless") as crew:
        crew.start(3)
        news = Hearing(crew)
        began = news.next(Began)
        assert began.presence.is_here()
        os.kill(began.presence.pid, signal.SIGKILL)
        ended = news.next(Ended)
        assert (ended.index, ended.code, ended.ending) == (3, -9, "killed")


def test_workers_that_are_told_to_end_give_their_shards_back(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_WORKER_GRACE_S", "0.1")
    with place.crew("endless") as crew:
        crew.start(0)
        Hearing(crew).next(Began)
        until((tmp_path / "reached").exists, timeout_s=LONGEST_S)
        (ended,) = crew.stop()
    assert ended.is_told
    assert ended.report is not None
    assert (ended.report.why, ended.ending) == ("told", "returned")


def test_a_worker_that_is_told_to_end_before_it_began_is_heard_of(place: Place) -> None:
    with place.crew("double") as crew:
        owner = crew.start(0)
        (ended,) = crew.stop()
        assert crew.running == frozenset()
    assert (ended.index, ended.owner, ended.is_told) == (0, owner, True)


def test_leaving_a_crew_leaves_no_process(place: Place, tmp_path: Path) -> None:
    with place.crew("endless") as crew:
        crew.start(0)
        began = Hearing(crew).next(Began)
        until((tmp_path / "reached").exists, timeout_s=LONGEST_S)
    until(began.presence.is_gone, timeout_s=LONGEST_S)


def test_a_worker_that_cannot_begin_says_why(place: Place) -> None:
    with place.crew("double", job="none") as crew:
        crew.start(0)
        ended = Hearing(crew).next(Ended)
    assert ended.report is not None
    assert ended.report.why == "unfit"
    assert ended.report.error is not None
    assert ended.report.error.code == "OAG802"
