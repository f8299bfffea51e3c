from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.data import MEMORY, Part, open_sink, open_source, writing
from openautoglm.errors import (
    BadRowError,
    InvalidParameterError,
    SinkConflictError,
    SourceChangedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for name in MEMORY.names():
        MEMORY.drop(name)


def test_a_table_is_read_back_and_later_changes_of_the_rows_do_not_reach_it() -> None:
    row: dict[str, object] = {"n": [1]}
    with writing(open_sink("memory://t")) as sink:
        sink.write([row])
        row["n"] = 2
    (record,) = open_source("memory://t").read()
    assert record.values == {"n": [1]}
    assert record.key == "t:1"


def test_parts_are_read_in_the_order_of_shards_and_each_is_committed_once() -> None:
    for shard in (1, 0):
        with writing(open_sink("memory://t", part=Part(job="j", shard=shard))) as sink:
            sink.write([{"shard": shard}])
    late = open_sink("memory://t", part=Part(job="j", shard=0, attempt=2))
    committed = late.committed()
    assert committed is not None
    assert committed.rows == 1
    with pytest.raises(SinkConflictError):
        late.commit()
    assert [r.values for r in open_source("memory://t").read()] == [{"shard": 0}, {"shard": 1}]


def test_a_reading_does_not_see_what_comes_after_its_start() -> None:
    MEMORY.put("t", [{"n": 1}, {"n": 2}])
    source = open_source("memory://t")
    before = source.describe()
    reading = source.read()
    next(reading)
    MEMORY.put("t", [])
    assert len(list(reading)) == 1
    assert source.describe().fingerprint != before.fingerprint
    with pytest.raises(SourceChangedError):
        list(source.read(resume_from="2"))


def test_an_empty_table_is_one_shard_of_no_rows() -> None:
    MEMORY.put("t", [])
    (shard,) = open_source("memory://t").shards(rows=3)
    assert shard.rows == 0
    assert list(open_source("memory://t").read(shard)) == []
    with pytest.raises(InvalidParameterError):
        list(open_source("memory://t").shards(rows=0))


def test_a_row_without_names_is_refused() -> None:
    sink = open_sink("memory://t")
    with pytest.raises(BadRowError, match="row 1"):
        sink.write([{1: 2}])  # type: ignore[dict-item]  # the mistake that is tested
    sink.abort()
    with pytest.raises(SinkConflictError):
        sink.write([{}])
