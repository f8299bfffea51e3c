"""Workers that die, sleep or are too late: no row is lost, none is there twice."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from openautoglm.data import Part, open_sink
from openautoglm.errors import FencedError
from openautoglm.jobs.ledger.records import RowOutcome
from openautoglm.jobs.orders import EXITS
from openautoglm.jobs.running.suspicion import LEAST, MOST, PLAIN
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from tests.unit.jobs.running.conftest import Site, Worker

    from openautoglm.jobs.ledger.records import Ending

JOB: Final = "letters-1"

POISON: Final = """
import os
from pathlib import Path

calls = Path(__file__).with_name("calls")

def answer(row):
    with calls.open("a") as file:
        file.write(str(row["n"]) + "\\n")
    if row["n"] == 33:
        {death}
    return dict(n=row["n"])
"""
SLEEPER: Final = """
import time
from pathlib import Path

here = Path(__file__).parent

def answer(row):
    if row["n"] == 5 and not (here / "begun").exists():
        (here / "begun").touch()
        while not (here / "go").exists():
            time.sleep(0.01)
        return {"n": row["n"], "by": "the sleeper"}
    return {"n": row["n"], "by": "another"}
"""


def outcomes(count: int) -> list[RowOutcome]:
    return [
        RowOutcome(ordinal=n, key=str(n), outcome="ok", payload=b'{"key":"%d","by":"dead"}' % n)
        for n in range(count)
    ]


def test_rows_that_a_dead_worker_journalled_are_not_worked_on_again(site: Site) -> None:
    calls: list[int] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        return {"by": "living"}

    site.rows(10)
    site.plan(answer)
    site.keep("dead", outcomes(6))
    assert site.ledger.leave("dead", "killed") == 1
    assert site.work().why == "done"
    assert calls == [6, 7, 8, 9]
    assert [row["by"] for row in site.answers()] == ["dead"] * 6 + ["living"] * 4


def test_a_part_that_was_committed_before_the_ledger_heard_of_it_is_taken_as_it_is(
    site: Site,
) -> None:
    site.rows(10)
    site.plan(lambda _: {"by": "living"})
    claim = site.keep("dead", outcomes(10))
    list(site.ledger.outcomes(claim))
    sink = open_sink(f"jsonl+file://{site.sink}/", part=Part(job=JOB, shard=0, attempt=1))
    sink.write([{"part of": "the dead"}])
    sink.commit()
    site.ledger.leave("dead", "killed")
    assert site.work().why == "done"
    assert site.answers() == [{"part of": "the dead"}]
    ((_, receipt),) = site.ledger.receipts(JOB)
    assert receipt.rows == 1


def test_a_worker_whose_shard_was_given_away_drops_its_rows(
    site: Site, working: Callable[..., Worker]
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    by = "the late one"

    def answer(_: dict[str, Any]) -> dict[str, object]:
        name = by
        if name == "the late one":
            begun.set()
            may_end.wait(20)
        return {"by": name}

    site.rows(4)
    site.plan(answer, shard_rows=4)
    with working(owner="late", lease_s=3600.0) as late:
        begun.wait(20)
        by = "another"
        site.ledger.leave("late", "lost")
        assert site.work().why == "done"
        may_end.set()
        assert late.end().why == "done"
    assert [row["by"] for row in site.answers()] == ["another"] * 4
    assert site.ledger.counts(JOB).ok == 4


def test_a_worker_that_lost_one_shard_goes_on_with_the_others(
    site: Site, working: Callable[..., Worker]
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def answer(row: dict[str, Any]) -> dict[str, object]:
        if row["n"] == 2 and not begun.is_set():
            begun.set()
            may_end.wait(20)
        return {}

    site.rows(40)
    site.plan(answer, keep=("n",))
    with working(owner="late") as late:
        begun.wait(20)
        until(lambda: site.ledger.counts(JOB).shards_done == 3)
        site.ledger.leave("late", "lost")
        may_end.set()
        assert late.end().why == "done"
    assert [row["n"] for row in site.answers()] == list(range(40))


def test_no_shard_is_committed_by_who_lost_it(site: Site) -> None:
    from openautoglm.jobs.running.committing import commit

    site.rows(3)
    site.plan(lambda _: {})
    claim = site.keep("late", outcomes(3))
    site.ledger.leave("late", "lost")
    with pytest.raises(FencedError):
        commit(site.ledger, claim, f"jsonl+file://{site.sink}/")
    assert site.parts() == []


@pytest.mark.parametrize(
    ("death", "ending", "deaths"),
    [
        ("os._exit(1)", "crashed", 3),
        ("os.kill(os.getpid(), 9)", "killed", 4),  # it might have been anybody: it has one run more
    ],
)
def test_a_row_that_kills_its_worker_is_out_soon_and_all_others_are_answered(
    site: Site, death: str, ending: Ending, deaths: int
) -> None:
    site.rows(80)
    (site.folder / "poison.py").write_text(POISON.format(death=death))
    site.plan("poison:answer", shard_rows=40)
    ends: list[int] = []
    while 0 not in ends and len(ends) <= deaths:
        process, orders = site.start()
        ends.append(process.wait(30))
        site.ledger.leave(orders.owner, ending)
    assert (len(ends), ends[-1]) == (deaths + 1, 0)
    assert sorted(row["n"] for row in site.answers()) == [n for n in range(80) if n != 33]
    assert [error["code"] for error in site.failed().values()] == ["OAG808"]
    calls = (site.folder / "calls").read_text().split()
    assert calls.count("33") == deaths
    assert len(calls) <= 80 + deaths * (4 + 100)


def test_a_row_that_was_alone_when_its_worker_was_killed_has_another_run_behind_all_others(
    site: Site,
) -> None:
    calls: list[int] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        return {}

    site.rows(10)
    site.plan(answer, keep=("n",))
    for noted in (None, None, 4):
        claim = site.ledger.claim(JOB, f"dead at {noted}", lease_s=30.0)
        assert claim is not None
        site.ledger.suspect(claim, noted)
        site.ledger.leave(claim.owner, "killed")
    assert site.work().why == "done"
    assert calls == [0, 1, 2, 3, 5, 6, 7, 8, 9, 4]
    assert [row["n"] for row in site.answers()] == list(range(10))


@pytest.mark.parametrize(
    ("is_anybody_killing", "deaths", "is_out"),
    [(False, PLAIN, True), (True, PLAIN, False), (True, LEAST, False), (True, MOST, True)],
)
def test_a_row_needs_more_deaths_where_somebody_outside_kills(
    site: Site, *, is_anybody_killing: bool, deaths: int, is_out: bool
) -> None:
    site.rows(10)
    site.plan(lambda _: {})
    if is_anybody_killing:
        assert site.ledger.take_charge(JOB, "driver", lease_s=30.0)
        site.ledger.leave_charge(JOB, "driver", is_gone=True)
    for at in range(2 + deaths):
        claim = site.ledger.claim(JOB, f"dead {at}", lease_s=30.0)
        assert claim is not None
        site.ledger.suspect(claim, None if at < 2 else 4)
        site.ledger.leave(claim.owner, "killed")
    assert site.work().why == "done"
    assert list(site.failed()) == (["in.jsonl:5"] if is_out else [])


def test_a_row_that_takes_longer_than_the_lease_is_not_taken_by_another_worker(
    site: Site, working: Callable[..., Worker]
) -> None:
    lease_s, calls, may_end = 0.8, [], threading.Event()

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        may_end.wait(20)
        return {}

    site.rows(1)
    site.plan(answer)
    with working(lease_s=lease_s) as worker:
        until(lambda: calls == [0])
        ends_s = time.monotonic() + 3 * lease_s
        while time.monotonic() < ends_s:
            assert site.ledger.claim(JOB, "another", lease_s=lease_s) is None
            may_end.wait(0.05)
        may_end.set()
        assert worker.end().why == "done"
    assert calls == [0]
    assert len(site.answers()) == 1


def test_deaths_are_not_held_against_a_shard_when_all_rows_that_may_be_guilty_came_back(
    site: Site,
) -> None:
    def answer(row: dict[str, Any]) -> dict[str, object]:
        if row["n"] == 140:
            site.ledger.set_state(JOB, "paused", among=frozenset({"running"}))
        return {}

    site.rows(2000)
    site.plan(answer, shard_rows=2000, concurrency=1)
    for _ in range(2):
        claim = site.ledger.claim(JOB, "dead", lease_s=30.0)
        assert claim is not None
        site.ledger.leave("dead", "crashed")
    assert site.work().why == "told"
    site.ledger.set_state(JOB, "running", among=frozenset({"paused"}))
    claim = site.ledger.claim(JOB, "next", lease_s=30.0)
    assert claim is not None
    assert claim.crashes == 0


def is_asleep(process: Popen[bytes], site: Site) -> bool:
    """Stop a worker, unless that is in the midst of a transaction: nobody else could go on then."""
    process.send_signal(signal.SIGSTOP)
    with closing(sqlite3.connect(site.folder / "ledger.db", timeout=0.2)) as ledger:
        try:
            ledger.execute("begin immediate")
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            return False
        ledger.rollback()
    return True


def test_a_worker_that_slept_while_its_lease_was_given_away_writes_nothing(site: Site) -> None:
    site.rows(10)
    (site.folder / "sleeper.py").write_text(SLEEPER)
    site.plan("sleeper:answer")
    process, orders = site.start(lease_s=0.5)
    until((site.folder / "begun").exists, 30)
    until(lambda: site.ledger.counts(JOB).ok > 0)
    until(lambda: is_asleep(process, site), 30)
    another, _ = site.start()
    assert site.heard(another).why == "done"  # it waited until the lease ran out
    before = site.answers()
    process.send_signal(signal.SIGCONT)
    (site.folder / "go").touch()
    assert site.heard(process).why == "done"
    assert site.answers() == before
    assert {row["n"]: row["by"] for row in before}[5] == "another"
    assert site.ledger.leave(orders.owner, "lost") == 0


def test_a_worker_whose_driver_is_gone_gives_its_shards_back_and_ends(site: Site) -> None:
    site.rows(10)
    (site.folder / "sleeper.py").write_text(SLEEPER)
    site.plan("sleeper:answer")
    process, _ = site.start()
    until((site.folder / "begun").exists, 30)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == EXITS["told"]
    claim = site.ledger.claim(JOB, "next", lease_s=30.0)
    assert claim is not None
    assert claim.crashes == 0


def test_sigterm_stops_a_worker_and_ctrl_c_does_not(site: Site) -> None:
    site.rows(10)
    (site.folder / "sleeper.py").write_text(SLEEPER)
    site.plan("sleeper:answer", concurrency=1)
    process, _ = site.start()
    until((site.folder / "begun").exists, 30)
    process.send_signal(signal.SIGINT)
    until(lambda: site.ledger.counts(JOB).ok == 5)
    process.send_signal(signal.SIGTERM)
    assert site.heard(process).why == "told"
    assert process.returncode == EXITS["told"]


def test_what_work_prints_does_not_disturb_the_report(site: Site) -> None:
    site.rows(3)
    (site.folder / "noisy.py").write_text("def answer(row):\n    print('hello')\n    return {}\n")
    site.plan("noisy:answer")
    process, _ = site.start()
    assert site.heard(process).why == "done"


def test_a_worker_for_a_job_that_is_not_there_says_so(site: Site) -> None:
    process, _ = site.start(job="no-such-job")
    report = site.heard(process)
    assert (report.why, process.returncode) == ("unfit", EXITS["unfit"])
    assert report.error is not None
    assert report.error.code == "OAG802"
