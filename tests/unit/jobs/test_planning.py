"""A source is divided into shards in the ledger, once, and rows with an id twice are found."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from openautoglm.errors import JobSpecError
from openautoglm.jobs.home import open_at
from openautoglm.jobs.planning import Planner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.jobs.conftest import Desk

    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import Claim


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Ledger]:
    """The ledger at home."""
    (desk.folder / "home").mkdir()
    with closing(open_at(desk.ledger)) as opened:
        yield opened


def planned(desk: Desk, ledger: Ledger, **fields: Any) -> list[Claim]:  # noqa: ANN401 - the fields of a job
    """Plan a job, and return all its shards."""
    spec = desk.job(**fields)
    ledger.add_job("j", name="j", spec=msgspec.json.encode(spec), fingerprint={})
    assert Planner("j", spec, stop=threading.Event()).plan(ledger)
    ledger.set_state("j", "running", among=frozenset({"planned"}))
    claims = []
    while (claim := ledger.claim("j", "me", lease_s=60)) is not None:
        claims.append(claim)
    return claims


def test_all_shards_are_there_and_planning_again_adds_none(desk: Desk, ledger: Ledger) -> None:
    desk.number(25)
    claims = planned(desk, ledger, shard_rows=10)
    assert [claim.shard.rows for claim in claims] == [10, 10, 5]
    assert ledger.job("j").is_planned
    assert Planner("j", desk.job(shard_rows=10), stop=threading.Event()).plan(ledger)
    counts = ledger.counts("j")
    assert (counts.shards, counts.rows) == (3, 25)


def test_a_planning_that_is_stopped_says_that_shards_are_missing(
    desk: Desk, ledger: Ledger
) -> None:
    desk.number(25)
    spec = desk.job(shard_rows=10)
    ledger.add_job("j", name="j", spec=msgspec.json.encode(spec), fingerprint={})
    stop = threading.Event()
    stop.set()
    assert not Planner("j", spec, stop=stop).plan(ledger)
    assert not ledger.job("j").is_planned
    assert Planner("j", spec, stop=threading.Event()).plan(ledger)
    assert ledger.counts("j").shards == 3


def test_an_id_twice_is_refused_with_both_places(desk: Desk, ledger: Ledger) -> None:
    desk.write([{"id": "a"}, {"id": 1}, {"id": "b"}, {"id": "1"}])
    with pytest.raises(JobSpecError) as caught:
        planned(desk, ledger, id_column="id")
    assert "two rows have the id '1' in `id`" in str(caught.value)
    assert "in.jsonl:2 and in.jsonl:4" in str(caught.value)
    assert ledger.counts("j").shards == 0


def test_the_first_row_of_an_id_is_taken_where_that_is_asked_for(
    desk: Desk, ledger: Ledger
) -> None:
    desk.write([{"id": i} for i in (1, 2, 1, 3, 3, 4, 2, 2)])
    claims = planned(desk, ledger, id_column="id", on_duplicate_id="first", shard_rows=3)
    assert [claim.only for claim in claims] == [(0, 1), (0, 2), ()]
    assert ledger.counts("j").rows == 4


def test_ids_twice_are_taken_where_that_is_allowed_and_rows_without_one_are_nobodys(
    desk: Desk, ledger: Ledger
) -> None:
    desk.write([{"id": 1}, {"id": 1}, {"id": None}, {"x": 1}])
    claims = planned(desk, ledger, id_column="id", on_duplicate_id="allow")
    assert [claim.only for claim in claims] == [None]
