"""Who gets which calls, and that a change of it loses none."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import PluginTimeoutError
from openautoglm.plugins.rollout.routes import BUCKETS, RouteTable, bucket_of
from openautoglm.testing.versions import Running, handle, manifest, versioned

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.plugins.rollout.routes import Handle


def version(number: str) -> Handle:
    return handle(Running(manifest(number), versioned(number)))


def soon() -> float:
    return time.monotonic() + 5


def test_all_calls_go_to_the_only_version() -> None:
    table = RouteTable(version("1"))
    assert {table.enter(b, soon()).version for b in range(0, BUCKETS, 97)} == {"1"}
    assert table.snapshot.shares == {"1": (100, 104, "running")}


@pytest.mark.parametrize("weight", [1, 5, 25, 100])
def test_a_weight_is_that_part_of_the_buckets(weight: int) -> None:
    table = RouteTable(version("1"))
    table.change(canary=version("2"), weight=weight)
    chosen = [table.snapshot.choose(bucket).version for bucket in range(BUCKETS)]
    assert chosen.count("2") == weight * BUCKETS // 100


def test_who_had_the_new_version_keeps_it_when_the_weight_grows() -> None:
    table, new = RouteTable(version("1")), version("2")
    table.change(canary=new, weight=5)
    before = {b for b in range(BUCKETS) if table.snapshot.choose(b) is new}
    table.change(weight=25)
    assert before < {b for b in range(BUCKETS) if table.snapshot.choose(b) is new}


def test_requests_spread_over_the_buckets_evenly_and_always_alike() -> None:
    buckets = [bucket_of("acme.thing", str(n)) for n in range(20_000)]
    assert buckets[7] == bucket_of("acme.thing", "7")
    assert 900 < sum(bucket < 500 for bucket in buckets) < 1_100
    assert bucket_of("acme.other", "7") != buckets[7]


def test_a_snapshot_does_not_change() -> None:
    table = RouteTable(version("1"))
    before = table.change(canary=version("2"), weight=5)
    assert before.canary is None
    assert table.snapshot.weight == 5


def test_what_has_drained_gets_no_call_any_more(calling: Callable[..., Any]) -> None:
    """The race of a reader that took a snapshot before a change and counts itself after it."""
    table, gone = RouteTable(version("0")), set()

    def call(_: int) -> str:
        entered = table.enter(0, soon())
        try:
            assert entered.version not in gone
            return entered.version
        finally:
            entered.leave(is_error=False, seconds=0.0)

    with calling(call, 4) as got:
        for number in range(1, 300):
            old = table.change(stable=version(str(number))).stable
            assert old.drain(5)
            gone.add(old.version)
    assert got.errors == []
    assert max(table.flips_s) < 0.1


def test_calls_wait_while_they_are_held_and_go_on_to_what_holds_then() -> None:
    table, got = RouteTable(version("1")), []
    with table.held():
        thread = threading.Thread(target=lambda: got.append(table.enter(0, soon()).version))
        thread.start()
        with pytest.raises(PluginTimeoutError, match="was being replaced"):
            table.enter(0, time.monotonic() + 0.01)
        assert got == []
        table.change(stable=version("2"))
    thread.join()
    assert got == ["2"]


def test_a_stable_version_that_died_gives_its_calls_to_the_last_good_one() -> None:
    told: list[tuple[str, str]] = []
    first, second = version("1"), version("2")
    table = RouteTable(first, on_fall_back=lambda a, b: told.append((a.version, b.version)))
    assert not table.fall_back(first)
    table.change(stable=second, resident=first)
    assert table.fall_back(second)
    assert not table.fall_back(second)
    assert (table.snapshot.stable, table.snapshot.resident) == (first, None)
    assert told == [("2", "1")]


def test_something_can_wait_for_answers() -> None:
    one, done = version("1"), []
    one.after(2, lambda: done.append(1))
    for is_error in (False, True, False, False):
        one.enter()
        one.leave(is_error=is_error, seconds=0.1)
        assert done == ([1] if one.served >= 2 else [])
    assert (one.served, one.recent.errors, one.recent.requests) == (3, 1, 4)
