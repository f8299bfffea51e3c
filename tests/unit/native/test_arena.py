"""Arrays in shared memory: what two processes see, who may write, when a slot is free again."""

from __future__ import annotations

import gc
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.errors import SharedTensorError
from openautoglm.native.arena import MIB, Arena, lend, lend_for_writing
from openautoglm.native.extents import Extents, rounded
from openautoglm.native.mappings import Mappings
from openautoglm.native.reference import DTYPES, Reference, as_torch
from openautoglm.native.segment import DATA, SLOTS, Segment

if TYPE_CHECKING:
    import numpy.typing as npt

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd is Linux's")


def reader_of(arena: Arena) -> Mappings:
    there = Mappings(writable=False)
    for segment in arena.segments:
        there.adopt(os.dup(segment.handle), segment.number)
    return there


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def sent(arena: Arena, array: npt.NDArray[Any]) -> Reference:
    reference = arena.reference(array)
    assert reference is not None
    return reference


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_other_side_sees_an_array_as_it_is(dtype: str) -> None:
    arena = Arena(lend)
    array = arena.empty((3, 4), dtype)
    array[...] = np.arange(12).reshape(3, 4)
    seen = reader_of(arena).view(sent(arena, array))
    assert seen.dtype == array.dtype
    assert np.array_equal(seen, array)


def test_nothing_is_copied_so_a_later_value_shows() -> None:
    arena = Arena(lend)
    array = arena.empty(4)
    array[:] = 1
    seen = reader_of(arena).view(sent(arena, array))
    array[2] = 9
    assert seen.tolist() == [1, 1, 9, 1]


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(lambda x: x[1:], id="rows from the second"),
        pytest.param(lambda x: x[:, ::-2], id="columns backwards by two"),
        pytest.param(lambda x: x.T, id="transposed"),
        pytest.param(lambda x: x[1, 2], id="one row of one plane"),
        pytest.param(lambda x: x[:, :0], id="nothing of it"),
        pytest.param(lambda x: np.broadcast_to(x[0], (7, 4, 5)), id="broadcast"),
        pytest.param(lambda x: x.view("<i4"), id="as another dtype"),
    ],
)
def test_a_part_of_an_array_travels_with_its_strides(part: Any) -> None:  # noqa: ANN401 - a function of arrays
    arena = Arena(lend)
    array = arena.copy(np.arange(60, dtype="<f4").reshape(3, 4, 5))
    wanted = part(array)
    seen = reader_of(arena).view(sent(arena, wanted))
    assert seen.shape == wanted.shape
    assert np.array_equal(seen, wanted)


def test_an_array_of_elsewhere_has_no_reference() -> None:
    arena = Arena(lend)
    assert arena.reference(np.zeros(4)) is None
    kept = arena.empty(4)
    assert arena.reference(np.zeros(4)) is None
    assert arena.reference(kept) is not None


def test_what_was_handed_over_for_reading_cannot_be_written() -> None:
    arena = Arena(lend)
    array = arena.empty(4)
    seen = reader_of(arena).view(sent(arena, array))
    assert not seen.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        seen[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        seen.flags.writeable = True


def test_torch_shares_the_memory_both_ways() -> None:
    torch = pytest.importorskip("torch")
    arena = Arena(lend)
    array = arena.empty((2, 8))
    array[...] = 3
    tensor = torch.from_dlpack(array)
    tensor += 1
    seen = as_torch(reader_of(arena).view(sent(arena, tensor[1].numpy())))
    assert seen.tolist() == [4.0] * 8
    array[1] = 5
    assert seen.tolist() == [5.0] * 8


# lifetimes


def test_a_slot_is_free_again_when_the_last_view_of_it_is_gone() -> None:
    arena = Arena(lend)
    array = arena.empty(1000)
    part = array[10:].reshape(-1, 2)
    del array
    assert arena.live == 1
    del part
    assert arena.live == 0


def test_a_tensor_of_torch_keeps_its_slot() -> None:
    torch = pytest.importorskip("torch")
    arena = Arena(lend)
    tensor = torch.from_dlpack(arena.empty(10))
    gc.collect()
    assert arena.live == 1
    del tensor
    assert arena.live == 0


def test_a_pinned_slot_outlives_its_array_until_the_other_side_lets_go() -> None:
    arena = Arena(lend)
    array = arena.copy(np.arange(4.0))
    reference = sent(arena, array)
    arena.pin(reference.token)
    there = reader_of(arena)
    seen = there.view(reference)
    del array
    assert arena.live == 1
    assert there.released() == []
    assert arena.view(reference).tolist() == [0, 1, 2, 3]
    del seen
    released = there.released()
    assert released == [reference.token]
    arena.unpin(released)
    assert arena.live == 0
    arena.unpin(released)  # a token told twice is nothing
    assert arena.live == 0


def test_a_stale_reference_is_an_error_and_no_wrong_answer() -> None:
    arena = Arena(lend)
    array = arena.empty(100)
    reference = sent(arena, array)
    there = reader_of(arena)
    del array
    assert arena.live == 0
    taken_again = arena.empty(100)
    assert sent(arena, taken_again).slot == reference.slot
    for side in (there, arena):
        with pytest.raises(SharedTensorError, match="gone"):
            side.view(reference)
    with pytest.raises(SharedTensorError, match="gone"):
        arena.pin(reference.token)


def test_a_freed_slot_is_stale_before_it_is_taken_again() -> None:
    arena = Arena(lend)
    array = arena.empty(100)
    reference = sent(arena, array)
    del array
    assert arena.live == 0
    with pytest.raises(SharedTensorError, match="gone"):
        reader_of(arena).view(reference)


def test_a_thousand_short_lives_need_no_more_memory_than_one() -> None:
    arena = Arena(lend)
    for _ in range(1_000):
        arena.empty(MIB // 8, "|u1")
    assert arena.held_bytes == MIB


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_two_arrays_overlap_whatever_comes_and_goes(data: st.DataObject) -> None:
    arena = Arena(lend)
    kept: dict[int, npt.NDArray[Any]] = {}
    for turn in range(data.draw(st.integers(1, 40))):
        gives: bool = data.draw(st.booleans())
        if kept and gives:
            number: int = data.draw(st.sampled_from(sorted(kept)))
            is_whole = bool((kept.pop(number) == number).all())
            assert is_whole
        else:
            kept[turn] = arena.empty(data.draw(st.integers(0, 70_000)), "<i4")
            kept[turn][:] = turn
    assert all((array == number).all() for number, array in kept.items())
    assert arena.live == len(kept)
    kept.clear()
    assert arena.live == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000)), max_size=60))
def test_extents_join_again_to_the_whole_range(steps: list[tuple[bool, int]]) -> None:
    extents, taken = Extents(0, 100_000), dict[int, int]()
    for gives, nbytes in steps:
        if gives and taken:
            offset = sorted(taken)[nbytes % len(taken)]
            extents.give(offset, taken.pop(offset))
        elif (found := extents.take(nbytes)) is not None:
            assert found not in taken
            taken[found] = nbytes
    ends = [(offset, offset + rounded(nbytes)) for offset, nbytes in sorted(taken.items())]
    assert all(first[1] <= second[0] for first, second in pairwise(ends))
    for offset, nbytes in taken.items():
        extents.give(offset, nbytes)
    assert extents.take(100_000 - 64) == 0


# limits


def test_an_arena_grows_to_its_limit_and_then_says_so() -> None:
    arena = Arena(lend, limit_bytes=4 * MIB)
    first = arena.empty(MIB, "|u1")
    second = arena.empty(MIB, "|u1")
    with pytest.raises(SharedTensorError, match="no room for 1048576 bytes"):
        arena.empty(MIB, "|u1")
    assert arena.held_bytes <= 4 * MIB
    del first
    arena.empty(MIB, "|u1")
    del second


def test_more_arrays_than_a_segment_has_slots_take_another_segment() -> None:
    arena = Arena(lend)
    kept = [arena.empty(1, "|u1") for _ in range(SLOTS + 1)]
    assert len(arena.segments) == 2
    assert arena.live == len(kept)


@pytest.mark.parametrize("dtype", [object, "U4", "S3", "datetime64[s]", [("a", "f4")], ">f4"])
def test_a_dtype_that_cannot_be_shared_is_refused(dtype: npt.DTypeLike) -> None:
    with pytest.raises(SharedTensorError, match="cannot be shared"):
        Arena(lend).empty(3, dtype)


@pytest.mark.parametrize(
    "forged",
    [
        {"offset": -8},
        {"offset": 64},
        {"shape": (1 << 40,)},
        {"shape": (-1,)},
        {"shape": (1,) * 40},
        {"shape": (1 << 62, 1 << 62)},
        {"strides": (-4,)},
        {"strides": (1 << 62,)},
        {"dtype": "|O"},
        {"dtype": "<c16"},
        {"dtype": ""},
        {"slot": -1},
        {"slot": SLOTS},
        {"slot": 5},
        {"segment": 3},
        {"segment": -1},
        {"generation": 0},
        {"generation": 2},
        {"generation": 1 << 63},
    ],
    ids=str,
)
def test_a_forged_reference_is_refused(forged: dict[str, Any]) -> None:
    arena = Arena(lend)
    array = arena.empty(16, "<f4")
    good = sent(arena, array)
    fields = {name: getattr(good, name) for name in good.__struct_fields__}
    bad = Reference(**{**fields, **forged})
    for side in (reader_of(arena), arena):
        with pytest.raises(SharedTensorError):
            side.view(bad)


def test_a_table_that_points_outside_its_segment_is_refused() -> None:
    """Memory that the other process writes says nothing that is believed."""
    lent = lend_for_writing(0, DATA + 4096)
    there = Mappings(writable=False)
    there.keep(lent)
    for offset, nbytes in ((0, 64), (DATA, 1 << 40), (1 << 63, 64), (DATA + 4096, 1)):
        lent.write_slot(0, 1, offset, nbytes)
        with pytest.raises(SharedTensorError):
            there.view(Reference(0, 0, 1, 0, "|u1", (1,)))


def test_a_segment_whose_size_could_change_is_not_mapped() -> None:
    descriptor = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, DATA * 2)
    with pytest.raises(SharedTensorError, match="not sealed"):
        Segment.adopt(descriptor, 0, writable=False)


def test_a_segment_of_another_number_is_not_mapped() -> None:
    lent = lend(4, DATA * 2)
    with pytest.raises(SharedTensorError, match="another"):
        Segment.adopt(os.dup(lent.handle), 5, writable=False)


def test_descriptors_end_with_their_segments() -> None:
    gc.collect()
    before = open_files()
    arena = Arena(lend)
    arena.empty(4)
    there = reader_of(arena)
    assert open_files() > before
    del arena, there
    gc.collect()
    assert open_files() == before
