"""Programs of operator calls: which rows a play means, and what none may mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import torch

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError
from openautoglm.native import cells
from openautoglm.native.program import Program, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.native.program import Operand

    Array = np.ndarray[Any, np.dtype[Any]]

pytestmark = pytest.mark.skipif(
    cells.unavailable() is not None, reason=f"no compiled core: {cells.unavailable()}"
)
COUNT: Final = 0
FIRST: Final = 1


def cell(operator: str) -> int:
    found = ops.get(operator).table.cell
    assert found is not None
    return found.number


def floats(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def silu(x: Array) -> Array:
    gate, value = x[:, 0].astype(np.float64), x[:, 1]
    return np.asarray(gate / (1 + np.exp(-gate)) * value)


def gated(count: int = -1, first: int = -1) -> tuple[Program, Rows, Rows]:
    """Return a program of one call over 6 rows, and its input and output."""
    x, out = Rows(floats(6, 2, 20), count, first), Rows(np.zeros((6, 20), np.float32), count, first)
    program = Program()
    program.call(cell("silu_gated"), (x, out))
    return program, x, out


@pytest.mark.parametrize(
    ("count", "first", "numbers", "begin", "end"),
    [
        (-1, -1, (), 0, 6),
        (COUNT, -1, (4,), 0, 4),
        (COUNT, FIRST, (2, 3), 3, 5),
        (-1, FIRST, (0, 4), 4, 6),
        (COUNT, FIRST, (0, 6), 6, 6),
        (COUNT, -1, (), 0, 0),
    ],
)
def test_a_play_computes_the_rows_it_means_and_no_others(
    count: int, first: int, numbers: Sequence[int], begin: int, end: int
) -> None:
    program, x, out = gated(count, first)
    for _ in range(2):
        assert program.play(numbers) == 1
        np.testing.assert_allclose(out.array[begin:end], silu(x.array)[begin:end], rtol=1e-5)
        assert not out.array[:begin].any()
        assert not out.array[end:].any()
    if numbers:
        assert x.of(numbers).shape[0] == end - begin
        assert np.shares_memory(x.of(numbers), x.array) or begin == end


@pytest.mark.parametrize(
    "numbers", [(7, 0), (1, 6), (3, 4), (-1, 0), (0, -1), (2**62, 2**62), (1, 2**63 - 1)]
)
def test_rows_that_an_array_does_not_have_are_refused(numbers: Sequence[int]) -> None:
    program, _, out = gated(COUNT, FIRST)
    with pytest.raises(ValueError, match="of an array of 6"):
        program.play(numbers)
    assert not out.array.any()


def test_a_first_row_alone_is_within_the_array() -> None:
    program, _, _ = gated(-1, FIRST)
    with pytest.raises(ValueError, match="of an array of 6"):
        program.play((0, 7))


def test_a_play_begins_at_one_of_its_calls() -> None:
    program, _, out = gated()
    with pytest.raises(ValueError, match="got -1"):
        program.play((), at=-1)
    assert program.play((), at=1) == 1
    assert program.play((), at=5) == 5
    assert not out.array.any()


@pytest.mark.parametrize("number", [16, -2, 2**31 - 1])
def test_a_number_that_no_play_has_is_refused(number: int) -> None:
    for rows in (Rows(floats(6, 2, 20), number), Rows(floats(6, 2, 20), COUNT, number)):
        with pytest.raises(ValueError, match="at most 16 numbers"):
            Program().call(cell("silu_gated"), (rows, Rows(floats(6, 20))))


def test_a_play_is_given_sixteen_numbers_at_most() -> None:
    program, _, _ = gated()
    assert program.play((0,) * 16) == 1
    with pytest.raises(TypeError, match="at most 16 numbers"):
        program.play((0,) * 17)


@pytest.mark.parametrize(
    ("rows", "got"),
    [
        (Rows(np.zeros((1,) * 9, np.float32)), "9 dimensions"),
        (Rows(np.zeros((), np.float32)), "0 dimensions"),
        (Rows(np.zeros(3, np.complex64)), "complex64"),
        (Rows(np.zeros(3, "datetime64[s]")), "datetime64"),
        (Rows(np.zeros(3, object)), "object"),
        (Rows(np.zeros(3, ">f4")), ">f4"),
        (Rows(np.zeros(3, np.float32), is_bf16=True), "bf16 in float32"),
        (Rows(np.zeros(3, [("a", "i1"), ("b", "f4")])["b"]), "strides"),
    ],
)
def test_arrays_that_no_kernel_could_read_are_refused(rows: Rows, got: str) -> None:
    with pytest.raises(OperatorArgumentError, match=got):
        Program().call(cell("silu_gated"), (rows, rows))


def test_a_call_has_the_arguments_of_its_operator() -> None:
    operands: tuple[Operand, ...] = (Rows(floats(6, 2, 20)),)
    with pytest.raises(TypeError, match="silu_gated takes 2 arguments"):
        Program().call(cell("silu_gated"), operands)
    with pytest.raises(ValueError, match="no operator cell"):
        Program().call(-1, operands)


def test_what_has_no_kernel_is_left_to_the_caller_who_plays_on() -> None:
    program = Program()
    x, out = floats(6, 2, 40), np.zeros((6, 20), np.float32)
    program.call(cell("silu_gated"), (Rows(x[:, :, ::2]), Rows(out)))  # it wants contiguous rows
    program.call(cell("silu_gated"), (Rows(floats(6, 2, 20)), Rows(out)))
    assert program.play(()) == 0
    assert not out.any()
    assert program.play((), at=1, timed=True) == 2
    assert out.all()
    assert [calls for calls, _ in program.times()] == [0, 1]


def test_a_failing_kernel_ends_the_play_and_the_next_one_is_right() -> None:
    program, x, out = gated(COUNT)
    bad = Rows(floats(6, 2, 20)), Rows(np.zeros((6, 20), np.float32))
    program.call(cell("rms_norm"), (bad[0], Rows(floats(20)), 1e-6, bad[0]))
    assert program.play((6,)) == 2
    np.testing.assert_allclose(out.array, silu(x.array), rtol=1e-5)


def places(*pairs: tuple[int, int]) -> tuple[Rows, Rows]:
    slots, positions = np.array(pairs, np.int64).reshape(-1, 2).T.copy()
    return Rows(slots, COUNT), Rows(positions, COUNT)


@pytest.mark.parametrize("is_blocked", [False, True])
def test_rows_are_copied_to_their_places_and_those_outside_are_left_out(
    *, is_blocked: bool
) -> None:
    wide = floats(7, 50)
    source = wide[:, 5:15].reshape(7, 2, 5)  # rows that do not follow each other
    shape = (3, 2, 2, 5, 16) if is_blocked else (3, 2, 2, 16, 5)
    target = np.zeros(shape, np.float32)
    where = [(0, 0), (2, 31), (3, 0), (-1, 0), (0, 32), (0, -1), (1, 17)]
    program = Program()
    program.copy_rows(Rows(source, COUNT), *places(*where), Rows(target), is_blocked=is_blocked)
    program.play((7,))
    seen = target.swapaxes(3, 4) if is_blocked else target
    expected = np.zeros((3, 2, 32, 5), np.float32)
    for row in (0, 1, 6):
        slot, position = where[row]
        expected[slot, :, position] = source[row]
    np.testing.assert_array_equal(seen.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("source", "target", "dtype"),
    [
        (floats(4, 2, 5), floats(3, 1, 2, 16, 5), "int64"),  # fewer heads
        (floats(4, 2, 5), floats(3, 2, 2, 16, 4), "int64"),  # narrower
        (floats(4, 2, 5), floats(3, 2, 2, 5, 16), "int64"),  # blocked
        (floats(4, 2, 5), floats(3, 2, 2, 8, 5), "int64"),  # blocks of 8
        (floats(4, 10), floats(3, 2, 2, 16, 5), "int64"),
        (floats(4, 2, 10)[:, :, ::2], floats(3, 2, 2, 16, 5), "int64"),
        (floats(4, 2, 5).astype("float64"), floats(3, 2, 2, 16, 5), "int64"),
        (floats(4, 2, 5), floats(3, 2, 2, 16, 5).astype("float16"), "int64"),
        (floats(4, 2, 5), floats(3, 2, 2, 16, 5), "int32"),
    ],
)
def test_a_copy_that_would_write_elsewhere_is_refused(
    source: Array, target: Array, dtype: str
) -> None:
    place = Rows(np.zeros(4, dtype))
    with pytest.raises(ValueError, match="go to a cache of such rows"):
        Program().copy_rows(Rows(source), place, place, Rows(target), is_blocked=False)


@pytest.mark.parametrize("is_blocked", [True, False])
def test_a_copy_to_bf16_rounds_to_the_nearest_even_and_keeps_nan(*, is_blocked: bool) -> None:
    source = floats(1, 1, 8)
    source[0, 0, :5] = np.nan, np.inf, -np.inf, 3.4e38, 1 + 2**-8
    place = Rows(np.array([17]))
    shape = (1, 1, 2, 8, 16) if is_blocked else (1, 1, 2, 16, 8)
    target = np.zeros(shape, np.uint16)
    program = Program()
    kept = Rows(target, is_bf16=True)
    program.copy_rows(Rows(source), Rows(np.zeros(1, np.int64)), place, kept, is_blocked=is_blocked)
    program.play(())
    seen = target[0, 0, 1, :, 1] if is_blocked else target[0, 0, 1, 1]
    wanted = torch.from_numpy(source[0, 0]).bfloat16().float()
    got = torch.from_numpy(seen.astype(np.uint32) << 16).view(torch.float32)
    torch.testing.assert_close(got, wanted, rtol=0, atol=0, equal_nan=True)
    assert np.count_nonzero(target) == np.count_nonzero(seen)


def test_a_copy_needs_a_place_for_each_row() -> None:
    program, place = Program(), Rows(np.zeros(3, np.int64))
    program.copy_rows(
        Rows(floats(4, 2, 5)), place, place, Rows(floats(3, 2, 2, 16, 5)), is_blocked=False
    )
    with pytest.raises(ValueError, match="a slot and a position"):
        program.play(())
