"""Arrays in guarded memory have the values, layouts and guards they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.ops.arguments import ArraySpec
from openautoglm.ops.check.memory import place, place_output, read, to_bits
from openautoglm.ops.check.oracle import compare

if TYPE_CHECKING:
    from openautoglm.ops.check.sample import Layout

LAYOUTS: tuple[Layout, ...] = ("dense", "transposed", "sliced", "negative")


@given(
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    dtype=st.sampled_from(["f16", "f32", "f64", "i64", "u8"]),
    layout=st.sampled_from(LAYOUTS),
)
def test_elements_are_the_same_in_every_layout(
    shape: tuple[int, ...], dtype: str, layout: Layout
) -> None:
    values = np.arange(int(np.prod(shape))).reshape(shape)

    block = place(to_bits(values, dtype), dtype, layout)

    assert block is not None
    assert np.array_equal(read(block.array), values)


def test_an_expanded_array_repeats_its_first_element_without_memory() -> None:
    block = place(to_bits(np.arange(6.0).reshape(2, 3), "f32"), "f32", "expanded")

    assert block is not None
    assert block.array.strides[0] == 0
    assert block.array.tolist() == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(("at", "where"), [(-1, "before"), (6, "behind")])
def test_a_write_next_to_an_array_is_seen(at: int, where: str) -> None:
    block = place_output(ArraySpec((2, 3), "f32"))
    before = block.snapshot()

    block.memory[block.start + 4 * at] = 0

    assert where in block.changed_guards(before)
    assert not block.is_changed(before)


def test_a_write_into_a_gap_between_elements_is_a_change_of_the_array() -> None:
    block = place(to_bits(np.zeros(3), "f32"), "f32", "sliced")
    assert block is not None
    before = block.snapshot()

    block.memory[block.start] = 0

    assert block.is_changed(before)


def test_nan_agrees_with_nan_only() -> None:
    nan, one = np.array([np.nan]), np.array([1.0])

    assert compare(nan, nan, "f32", 1e-5) == ""
    assert "nan" in compare(one, nan, "f32", 1e-5)
    assert "nan" in compare(nan, one, "f32", 1e-5)


def test_infinities_agree_by_sign() -> None:
    up, down = np.array([np.inf]), np.array([-np.inf])

    assert compare(up, up, "f64", 1e-9) == ""
    assert compare(down, up, "f64", 1e-9) != ""
