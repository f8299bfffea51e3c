"""Rows come in order, no more of them than may be lost, and alone where one may be deadly."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from openautoglm.data import Record, Shard
from openautoglm.errors import BadRowError
from openautoglm.jobs.ledger.records import Claim
from openautoglm.jobs.running.breaker import Breaker
from openautoglm.jobs.running.feed import UNSETTLED, Feed
from openautoglm.jobs.running.open_shard import OpenShard, Task
from openautoglm.jobs.running.rate import Pace
from openautoglm.jobs.running.retrying import Backoff
from openautoglm.jobs.running.tries import Trouble
from openautoglm.jobs.spec import Rate
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONCURRENCY: Final = 4


class Clock:
    """A time that the test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def feed(clock: Clock | None = None, *, tries: int = 3) -> Feed:
    backoff = Backoff(1.0, lambda: 1.0)
    return Feed(
        concurrency=CONCURRENCY,
        tries=tries,
        backoff=backoff,
        breaker=Breaker(backoff),
        pace=Pace(Rate(), of=1, now_s=0.0),
        wake=lambda: None,
        clock=clock or Clock(),
    )


def shard(
    rows: int,
    *,
    crashes: int = 0,
    suspects: Mapping[int, int] | None = None,
    answered: frozenset[int] = frozenset(),
    window: int = 100,
) -> OpenShard:
    claim = Claim(
        job="j",
        shard=Shard(index=0, rows=rows),
        only=None,
        owner="me",
        attempt=1 + crashes,
        crashes=crashes,
        handed=0,
        suspects=suspects or {},
    )

    def read(_: Shard) -> Iterator[Record]:
        return (Record(key=str(n), position=str(n + 1), values={"n": n}) for n in range(rows))

    return OpenShard(claim, read, answered, window=window)


def taken(one: Feed, ended: Task | None = None) -> Task:
    task = one.take(ended, tokens=None if ended is None else 0)
    assert task is not None
    return task


def blocks(one: Feed, ended: Task | None = None) -> tuple[threading.Thread, list[Task | None]]:
    """Take a row in a thread, which is to find none."""
    found: list[Task | None] = []
    thread = threading.Thread(target=lambda: found.append(one.take(ended, tokens=0)))
    thread.start()
    until(lambda: one._idle > 0)
    return thread, found


def test_rows_come_in_order_over_the_ends_of_shards() -> None:
    one = feed()
    one.add(shard(3))
    one.add(shard(2))
    assert [taken(one).ordinal for _ in range(5)] == [0, 1, 2, 0, 1]


def test_rows_that_have_an_outcome_do_not_come() -> None:
    one = feed()
    one.add(shard(5, answered=frozenset({0, 3})))
    assert [taken(one).ordinal for _ in range(3)] == [1, 2, 4]


def test_no_more_rows_go_than_may_be_lost_until_the_ledger_has_some() -> None:
    one = feed()
    one.add(shard(1000))
    task = taken(one)
    for _ in range(CONCURRENCY + UNSETTLED - 1):
        task = taken(one, task)
    thread, found = blocks(one, task)
    assert found == []
    one.settle(1, one.begun())
    thread.join()
    assert len(found) == 1


def test_a_shard_is_wanted_before_the_last_one_is_drained() -> None:
    one = feed()
    assert one.wants_shard()
    one.add(shard(1000))
    assert not one.wants_shard()
    task = taken(one)
    while not one.wants_shard():
        task = taken(one, task)
        one.settle(1, one.begun())
    assert task.ordinal > 1000 - 4 * one.window
    assert task.ordinal < 1000 - CONCURRENCY


def test_a_row_that_is_tried_again_comes_when_its_time_has_come_and_before_new_ones() -> None:
    clock = Clock()
    one = feed(clock)
    one.add(shard(10))
    first = taken(one)
    assert one.again(first, Trouble(TimeoutError()))
    second = taken(one)
    assert second.ordinal == 1
    assert one.tick() == 1.0
    clock.now_s = 1.0
    assert taken(one, second) is first


def test_a_server_that_asks_to_wait_is_waited_for() -> None:
    one = feed(clock := Clock())
    one.add(shard(1))
    task = taken(one)
    assert one.again(task, Trouble(TimeoutError(), wait_s=7.0))
    thread, found = blocks(one)
    assert one.tick() == 7.0
    clock.now_s = 7.0
    one.tick()
    thread.join()
    assert found == [task]


def test_a_row_is_given_up_after_its_last_try() -> None:
    one = feed(clock := Clock(), tries=2)
    one.add(shard(1))
    task = taken(one)
    assert one.again(task, Trouble(TimeoutError()))
    clock.now_s = 100.0
    assert taken(one) is task
    assert not one.again(task, Trouble(TimeoutError()))


def test_rows_of_a_shard_that_is_lost_do_not_come_any_more() -> None:
    one = feed(clock := Clock())
    lost, kept = shard(100), shard(5)
    one.add(lost)
    task = taken(one)
    one.again(taken(one), Trouble(TimeoutError()))
    one.drop(lost)
    one.add(kept)
    clock.now_s = 100.0
    assert taken(one, task).shard is kept


def test_a_suspected_row_goes_when_no_other_is_under_way_and_it_is_noted() -> None:
    one = feed()
    one.add(usual := shard(1))
    one.add(careful := shard(3, crashes=2, window=1))
    other = taken(one)
    assert other.shard is usual
    thread, found = blocks(one)
    assert one.change() is None
    second, more = blocks(one, other)
    until(lambda: one.change() is not None)
    change = one.change()
    assert change is not None
    assert change.new is not None
    assert (change.old, change.new.shard, change.new.ordinal) == (None, careful, 0)
    one.noted(change.new)
    until(lambda: bool(found or more))
    assert (found + more)[0] is change.new
    one.stop()
    thread.join()
    second.join()


def test_behind_a_row_that_was_alone_others_go_when_it_is_noted_no_more() -> None:
    one = feed()
    one.add(shard(2, crashes=2, window=1))
    thread, found = blocks(one)
    change = one.change()
    assert change is not None
    one.noted(change.new)
    thread.join()
    (first,) = found
    assert first is not None
    thread, found = blocks(one, first)
    change = one.change()
    assert change is not None
    assert (change.old, change.new) == (first, None)
    one.noted(None)
    thread.join()
    assert found[0] is not None
    assert (found[0].ordinal, found[0].lot) == (1, "usual")


def test_a_row_whose_guilt_is_not_certain_is_kept_for_the_end() -> None:
    one = feed()
    one.add(late := shard(4, suspects={1: 1, 2: 2}))
    lots = [(taken(one).ordinal, late.drawn) for _ in range(3)]
    assert [ordinal for ordinal, _ in lots] == [0, 2, 3]
    assert [task.ordinal for task in late.last] == [1]
    late.kept = 3
    assert late.waits_for_last
    assert not late.is_done


def test_a_source_that_fails_stops_the_feed_and_is_told() -> None:
    def broken(_: Shard) -> Iterator[Record]:
        yield Record(key="0", position="1")
        raise OSError("the disk")

    one = feed()
    one.add(OpenShard(shard(3).claim, broken, frozenset(), window=1))
    assert one.take() is None
    assert isinstance(one.error, OSError)


def test_a_row_that_cannot_be_read_tells_nothing_of_the_server() -> None:
    def read(_: Shard) -> Iterator[Record]:
        for n in range(20):
            error = BadRowError("no JSON") if n == 10 else None
            yield Record(key=str(n), position=str(n + 1), error=error)

    one = feed(clock := Clock())
    one.add(OpenShard(shard(20).claim, read, frozenset(), window=1))
    for _ in range(10):
        task = taken(one)
        task.tries += 1
        assert one.again(task, Trouble(ConnectionRefusedError()))
    clock.now_s = 1.5
    bad = taken(one)
    assert bad.record.error is not None
    probe = taken(one, bad)
    thread, _ = blocks(one)
    one.stop()
    thread.join()
    assert probe.ordinal == 11


def test_while_most_rows_fail_new_ones_are_asked_first() -> None:
    one = feed(clock := Clock(), tries=2)
    one.add(shard(100))
    for _ in range(30):
        task = taken(one)
        assert task.counted == 0
        task.tries += 1
        assert one.again(task, Trouble(ConnectionRefusedError()))
        clock.now_s += 100.0 * one.storms
    assert one.storms == 1
    assert taken(one, None).ordinal == 30
