"""Memory of arenas that goes back to the system."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest

from openautoglm.errors import SharedTensorError
from openautoglm.native.arena import MIB, Arena, lend, lend_for_writing
from openautoglm.native.mappings import Mappings
from openautoglm.native.reference import Root
from openautoglm.native.segment import Segment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd is Linux's")


def test_memory_that_rests_is_given_back_as_a_whole_when_nothing_in_it_is_in_use() -> None:
    arena = Arena(lend)
    small, large = arena.empty(10), arena.empty(64 * MIB, "|u1")
    large[:] = 1
    del large
    arena.shrink(now=100.0, rest_s=5.0)
    assert arena.held_bytes > 64 * MIB
    arena.shrink(now=104.9, rest_s=5.0)
    assert arena.held_bytes > 64 * MIB
    arena.shrink(now=105.0, rest_s=5.0)
    assert arena.held_bytes == MIB
    small[:] = 7
    again = arena.empty(64 * MIB, "|u1")
    assert again.max() == 0
    assert [segment.number for segment in arena.segments] == [0, 2]
    assert small.tolist() == [7] * 10


def test_a_number_that_brought_no_memory_is_asked_for_again() -> None:
    asked: list[int] = []

    def grow(number: int, size: int) -> Segment:
        asked.append(number)
        if len(asked) == 1:
            raise SharedTensorError("the system has none at the moment")
        return lend(number, size)

    arena = Arena(grow)
    with pytest.raises(SharedTensorError, match="none at the moment"):
        arena.empty(10)
    assert arena.segments == ()
    array = arena.empty(10)
    assert asked == [0, 0]
    assert arena.reference(array) is not None


class Slow(deque[Root]):
    """Lets another thread in before an item is taken."""

    def popleft(self) -> Root:
        threading.Event().wait(0.05)
        return super().popleft()


def test_a_view_that_is_gone_is_told_once_whoever_asks() -> None:
    arena, there = Arena(lend), Mappings(writable=False)
    array = arena.empty(10)
    reference = arena.reference(array)
    assert reference is not None
    there.adopt(os.dup(arena.segments[0].handle), 0)
    there._gone = Slow()
    there.view(reference)
    with ThreadPoolExecutor(2) as threads:  # a heartbeat beside a call
        told = list(threads.map(lambda _: there.released(), range(2)))
    assert sorted(map(len, told)) == [0, 1]


def test_an_array_that_is_pinned_keeps_its_memory() -> None:
    arena = Arena(lend)
    array = arena.empty(MIB, "|u1")
    reference = arena.reference(array)
    assert reference is not None
    token = reference.token
    arena.pin(token)
    del array
    for now in (0.0, 10.0):
        arena.shrink(now, rest_s=5.0)
    assert arena.live == 1
    arena.unpin([token])
    for now in (20.0, 30.0):
        arena.shrink(now, rest_s=5.0)
    assert arena.segments == ()


def test_memory_that_the_other_side_made_keeps_its_size_and_loses_its_pages() -> None:
    made: list[Segment] = []

    def grow(number: int, size: int) -> Segment:
        made.append(lend_for_writing(number, size))
        return Segment.adopt(os.dup(made[-1].handle), number, writable=True)

    arena = Arena(grow)
    kept, gone = arena.empty(MIB, "|u1"), arena.empty(24 * MIB, "|u1")
    kept[:], gone[:] = 1, 2
    del gone
    held = arena.held_bytes
    assert pages(made) > 24 * MIB
    for now in (0.0, 10.0):
        arena.shrink(now, rest_s=5.0)
    assert pages(made) < 2 * MIB
    assert arena.held_bytes == held
    assert kept.min() == 1
    assert arena.empty(24 * MIB, "|u1").max() == 0


def pages(segments: list[Segment]) -> int:
    """Bytes of memory that segments take up."""
    return sum(os.fstat(segment.handle).st_blocks * 512 for segment in segments)


def test_small_arrays_do_not_settle_in_the_segment_of_a_large_one() -> None:
    arena = Arena(lend)
    large = arena.empty(200 * MIB, "|u1")
    del large
    small = arena.empty(10)
    for now in (0.0, 10.0):
        arena.shrink(now, rest_s=5.0)
    assert arena.held_bytes < 64 * MIB
    assert small.shape == (10,)


def test_where_the_limit_is_near_small_arrays_go_wherever_there_is_room() -> None:
    arena = Arena(lend, limit_bytes=64 * MIB)
    large = arena.empty(63 * MIB, "|u1")
    del large
    assert arena.empty(10).shape == (10,)
    assert arena.held_bytes == 64 * MIB


def test_unused_memory_makes_room_for_an_array_that_fits_nowhere_else() -> None:
    arena = Arena(lend, limit_bytes=64 * MIB)
    for nbytes in (30 * MIB, 40 * MIB, 50 * MIB):
        array = arena.empty(nbytes, "|u1")
        del array
    assert arena.held_bytes <= 64 * MIB


def test_what_needs_the_arena_is_not_done_while_another_thread_is_at_it() -> None:
    entered, ended = threading.Event(), threading.Event()
    done: list[str] = []

    def grow(number: int, size: int) -> Segment:
        entered.set()
        ended.wait(10)
        return lend(number, size)

    arena = Arena(grow)
    grower = threading.Thread(target=arena.empty, args=(10,))
    grower.start()
    entered.wait(10)
    assert not arena.unless_busy(lambda: done.append("busy"))
    ended.set()
    grower.join()
    assert arena.unless_busy(lambda: done.append("free"))
    assert done == ["free"]
