"""A worker takes every row of a job to its end, whatever is wrong with some of them."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, final

import msgspec
import pytest

from openautoglm.data import MEMORY, open_sink, open_source
from openautoglm.data.catalog import SINKS
from openautoglm.errors import BadRowError
from openautoglm.registry import owned_by
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.unit.jobs.running.conftest import Site, Worker

    from openautoglm.data import Part, Receipt


def test_every_row_is_answered_once_and_each_part_is_in_the_order_of_its_rows(site: Site) -> None:
    site.rows(95)
    site.plan(lambda row: {"twice": row["n"] * 2}, keep=("n",))
    assert site.work().why == "done"
    assert [[row["n"] for row in part] for part in site.parts()] == [
        list(range(start, min(start + 10, 95))) for start in range(0, 95, 10)
    ]
    assert all(row["twice"] == row["n"] * 2 for row in site.answers())
    counts = site.ledger.counts("letters-1")
    assert (counts.ok, counts.failed, counts.shards_done) == (95, 0, 10)


def test_a_ledger_in_postgresql_serves_workers_as_well(far_site: Site) -> None:
    def answer(row: dict[str, Any]) -> dict[str, object]:
        if row["n"] % 10 == 3:
            raise ValueError("three")
        return {}

    far_site.rows(95)
    far_site.plan(answer, keep=("n",))
    assert far_site.work().why == "done"
    assert [row["n"] for row in far_site.answers()] == [n for n in range(95) if n % 10 != 3]
    assert len(far_site.failed()) == 10


def test_rows_keep_their_order_when_they_are_answered_in_another_one(site: Site) -> None:
    site.rows(8)
    first_may_go = threading.Event()

    def answer(row: dict[str, Any]) -> dict[str, object]:
        if row["n"] == 0:
            first_may_go.wait(10)
        if row["n"] == 7:
            first_may_go.set()
        return {}

    site.plan(answer, keep=("n",), concurrency=4)
    assert site.work().why == "done"
    assert [row["n"] for row in site.answers()] == list(range(8))


def test_a_row_of_the_sink_holds_what_names_it_what_is_kept_and_what_came_out(site: Site) -> None:
    site.lines(['{"id": 7, "text": "a", "lang": "de"}', '{"id": 8, "text": "b"}'])
    site.plan(lambda row: {"upper": row["text"].upper()}, id_column="id", keep=("lang", "id"))
    site.work()
    assert site.answers() == [
        {"id": 7, "lang": "de", "upper": "A"},
        {"id": 8, "lang": None, "upper": "B"},
    ]


def test_without_an_id_a_row_is_named_by_its_source(site: Site) -> None:
    site.rows(2)
    site.plan(lambda row: {"n": row["n"]})
    site.work()
    assert site.answers() == [{"key": "in.jsonl:1", "n": 0}, {"key": "in.jsonl:2", "n": 1}]


def test_a_row_that_fails_is_in_quarantine_with_its_reason_and_the_others_go_on(
    site: Site,
) -> None:
    def answer(row: dict[str, Any]) -> dict[str, object]:
        if row["n"] == 3:
            raise ValueError("no such date")
        return {}

    site.rows(20)
    site.plan(answer, keep=("n",))
    assert site.work().why == "done"
    assert [row["n"] for row in site.answers()] == [n for n in range(20) if n != 3]
    (row,) = site.ledger.quarantined("letters-1")
    assert (row.key, row.tries, row.values) == ("in.jsonl:4", 1, b'{"n":3}')
    assert site.failed()["in.jsonl:4"]["problem"] == "ValueError: no such date"


def test_a_row_that_cannot_be_read_is_a_failed_row_and_no_dead_shard(site: Site) -> None:
    site.lines(['{"n": 0}', "{broken", '{"n": 2}', '["no object"]'])
    site.plan(lambda row: {"n": row["n"]})
    assert site.work().why == "done"
    assert [row["n"] for row in site.answers()] == [0, 2]
    assert {key: error["code"] for key, error in site.failed().items()} == {
        "in.jsonl:2": "OAG507",
        "in.jsonl:4": "OAG507",
    }


def test_a_shard_whose_rows_all_failed_has_no_part_and_is_done(site: Site) -> None:
    site.lines(["{broken"] * 3)
    site.plan(lambda _: {})
    assert site.work().why == "done"
    assert site.parts() == []
    assert site.ledger.counts("letters-1").failed == 3


def test_a_source_without_rows_is_done_at_once(site: Site) -> None:
    site.rows(0)
    site.plan(lambda _: {})
    assert site.work().why == "done"


def test_work_that_ends_its_thread_fails_its_row_alone(site: Site) -> None:
    def answer(row: dict[str, Any]) -> dict[str, object]:
        if row["n"] == 1:
            raise SystemExit(3)
        return {}

    site.rows(4)
    site.plan(answer)
    assert site.work().why == "done"
    assert site.failed()["in.jsonl:2"]["code"] == "SystemExit"


def test_as_many_rows_are_under_way_as_there_may_be_also_where_shards_end(site: Site) -> None:
    lock, under_way, ended = threading.Lock(), 0, 0
    gate = threading.Semaphore(0)

    def answer(_: dict[str, Any]) -> dict[str, object]:
        nonlocal under_way, ended
        with lock:
            under_way += 1
        gate.acquire(timeout=20)
        with lock:
            under_way -= 1
            ended += 1
        return {}

    def is_full(gone: int) -> bool:
        return (ended, under_way) == (gone, min(8, 60 - gone))

    site.rows(60)
    site.plan(answer, shard_rows=7, concurrency=8)
    ending = threading.Thread(target=site.work)
    ending.start()
    for gone in range(60):
        until(partial(is_full, gone))
        gate.release()
    ending.join()
    assert site.ledger.counts("letters-1").ok == 60


def test_a_worker_whose_job_is_paused_ends_and_the_next_one_goes_on(site: Site) -> None:
    calls: list[int] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        if row["n"] == 25:
            site.ledger.set_state("letters-1", "paused", among=frozenset({"running"}))
        return {}

    site.rows(3000)
    site.plan(answer, keep=("n",), shard_rows=500)
    assert site.work().why == "told"
    begun = len(calls)
    assert begun < 1000
    assert site.work().why == "told"
    assert len(calls) == begun
    site.ledger.set_state("letters-1", "running", among=frozenset({"paused"}))
    assert site.work().why == "done"
    assert [row["n"] for row in site.answers()] == list(range(3000))
    assert sorted(calls) == list(range(3000))


def test_a_worker_that_is_told_to_stop_keeps_what_ends_soon_and_gives_its_shards_back(
    site: Site, working: Callable[..., Worker]
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def answer(row: dict[str, Any]) -> dict[str, object]:
        if row["n"] == 5:
            begun.set()
            may_end.wait(10)
        return {}

    site.rows(2000)
    site.plan(answer, concurrency=1, shard_rows=2000)
    with working(grace_s=10.0) as worker:
        begun.wait(10)
        worker.is_told = True
        may_end.set()
        assert worker.end().why == "told"
    claim = site.ledger.claim("letters-1", "next", lease_s=30.0)
    assert claim is not None
    assert claim.crashes == 0
    assert 6 <= claim.handed < 2000
    assert site.ledger.answered(claim) == frozenset(range(claim.handed))


def test_a_row_that_does_not_end_in_time_is_given_back_and_what_it_brings_is_not_taken(
    site: Site, working: Callable[..., Worker]
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    calls: list[int] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        if row["n"] == 1 and calls.count(1) == 1:
            begun.set()
            may_end.wait(10)
            return {"by": "the first"}
        return {"by": "another"}

    site.rows(3)
    site.plan(answer, concurrency=1)
    with working(grace_s=0.05) as worker:
        begun.wait(10)
        worker.is_told = True
        assert worker.end().why == "told"
    assert site.work().why == "done"
    may_end.set()
    assert [row["by"] for row in site.answers()] == ["another"] * 3


def test_static_workers_take_their_own_shards_alone(
    site: Site, working: Callable[..., Worker]
) -> None:
    site.rows(50)
    site.plan(lambda _: {}, assignment="static")
    with working(index=1, of=2) as worker:
        until(lambda: site.ledger.counts("letters-1").shards_done == 2)
        assert [index for index, _ in site.ledger.receipts("letters-1")] == [1, 3]
        assert site.work(index=0, of=2).why == "done"
        assert worker.end().why == "done"


def test_a_worker_waits_for_shards_that_are_still_being_planned(
    site: Site, working: Callable[..., Worker]
) -> None:
    site.rows(20)
    spec = site.plan(lambda _: {}, job="other")
    site.ledger.add_job("late", name="late", spec=msgspec.json.encode(spec), fingerprint={})
    site.ledger.set_state("late", "running", among=frozenset({"planned"}))
    shards = list(open_source(spec.source).shards(rows=10))
    with working(job="late") as worker:
        site.ledger.add_shards("late", shards[:1])
        until(lambda: site.ledger.counts("late").shards_done == 1)
        assert worker.report is None
        site.ledger.add_shards("late", shards[1:])
        site.ledger.end_plan("late")
        assert worker.end().why == "done"
    assert site.ledger.counts("late").ok == 20


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"function": "no_such_module:f"}, "OAG801"),
        ({"source": "/no/such/file.jsonl"}, "OAG501"),
    ],
)
def test_a_worker_that_cannot_begin_says_why(site: Site, fields: dict[str, Any], code: str) -> None:
    site.rows(1)
    spec = site.plan(lambda _: {}, job="good")
    bad = msgspec.json.encode(msgspec.structs.replace(spec, **fields))
    site.ledger.add_job("bad", name="bad", spec=bad, fingerprint={})
    report = site.work(job="bad")
    assert report.why == "unfit"
    assert report.error is not None
    assert report.error.code == code


def test_a_source_that_holds_other_rows_than_planned_stops_the_worker(site: Site) -> None:
    site.rows(20)
    site.plan(lambda _: {})
    site.rows(13)
    report = site.work()
    assert report.why == "stuck"
    assert report.error is not None
    assert report.error.code == "OAG508"


@final
class Picky:
    """A part in memory that takes no texts for a score."""

    def __init__(self, part: Part | None) -> None:
        self._sink = open_sink("memory://picky", part=part)

    def committed(self) -> Receipt | None:
        return self._sink.committed()

    def write(self, rows: Sequence[Mapping[str, object]]) -> None:
        for row in rows:
            if isinstance(row["score"], str):
                raise BadRowError("a score is a number")
        self._sink.write(rows)

    def commit(self) -> Receipt:
        return self._sink.commit()

    def abort(self) -> None:
        self._sink.abort()


@pytest.fixture
def picky() -> Iterator[str]:
    """The URL of such parts."""
    with owned_by("a test"):
        SINKS.add("picky", lambda _, part: Picky(part))
    yield "picky://scores"
    SINKS.remove("picky")
    MEMORY.drop("picky")


def test_rows_that_the_sink_does_not_take_are_in_quarantine_and_the_others_in_their_part(
    site: Site, picky: str
) -> None:
    def answer(row: dict[str, Any]) -> dict[str, object]:
        return {"score": "high" if row["n"] in {4, 7} or row["n"] >= 10 else row["n"]}

    site.rows(20)
    site.plan(answer, sink=picky)
    assert site.work().why == "done"
    scores = [record.values["score"] for record in open_source("memory://picky").read()]
    assert scores == [0, 1, 2, 3, 5, 6, 8, 9]
    assert len(site.failed()) == 12
    assert site.failed()["in.jsonl:5"]["problem"] == "a score is a number"
    counts = site.ledger.counts("letters-1")
    assert (counts.ok, counts.failed, counts.shards_done) == (8, 12, 2)


def test_a_ledger_that_is_gone_stops_the_worker(site: Site) -> None:
    def answer(row: dict[str, Any]) -> dict[str, object]:
        if row["n"] == 5:
            (site.folder / "ledger.db").unlink()
        return {}

    site.rows(10)
    site.plan(answer)
    report = site.work()
    assert report.why == "stuck"
    assert report.error is not None
    assert report.error.code == "OAG806"


def test_a_sink_that_cannot_be_written_stops_the_worker_and_no_answer_is_lost(site: Site) -> None:
    calls: list[int] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        return {}

    site.rows(5)
    site.plan(answer, keep=("n",))
    site.sink.write_text("a file where the folder of parts is to be")
    report = site.work()
    assert report.why == "stuck"
    assert report.error is not None
    assert report.error.code == "OAG503"
    site.sink.unlink()
    assert site.work().why == "done"
    assert [row["n"] for row in site.answers()] == list(range(5)) == sorted(calls)


def test_a_worker_answers_no_row_with_something_else_than_the_job_began_with(site: Site) -> None:
    site.rows(20)
    spec = site.plan(lambda _: {})
    plain = msgspec.json.encode(spec)
    marks = {"sink": "elsewhere", "function": "mine:ask of another day"}
    site.ledger.add_job("letters-2", name="letters", spec=plain, fingerprint=marks)
    report = site.work(job="letters-2")
    assert report.why == "unfit"
    assert report.error is not None
    assert report.error.code == "OAG803"
    assert "was mine:ask of another day" in report.error.got
