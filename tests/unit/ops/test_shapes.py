from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.ops.shapes import Bindings, broadcast_shapes

SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@given(st.lists(SHAPES, max_size=4))
def test_shapes_broadcast_as_numpys_do(shapes: list[tuple[int, ...]]) -> None:
    try:
        expected: tuple[int, ...] | None = np.broadcast_shapes(*shapes)
    except ValueError:
        expected = None
    assert broadcast_shapes(*shapes) == expected


@given(SHAPES, SHAPES)
def test_the_order_of_shapes_does_not_matter(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    assert broadcast_shapes(left, right) == broadcast_shapes(right, left)


@pytest.mark.parametrize(
    ("pattern", "shape", "expected"),
    [
        (("n",), (4,), None),
        (("n",), (), "[n]"),
        (("n",), (1, 4), "[n]"),
        ((), (), None),
        ((), (1,), "[]"),
        ((4,), (4,), None),
        ((4,), (5,), "[4]"),
        (("...",), (), None),
        (("...",), (2, 3), None),
        (("...", "n"), (), "[..., n]"),
        (("...", "n", "n"), (7, 3, 3), None),
        (("n", "n"), (3, 4), "[n, n] with n=3 as in `x`"),
        (("...", "n", 2), (0, 2), None),
    ],
)
def test_a_pattern_takes_the_shapes_it_describes(
    pattern: tuple[str | int, ...], shape: tuple[int, ...], expected: str | None
) -> None:
    assert Bindings().bind("x", pattern, shape) == expected


def test_a_symbol_keeps_its_size_throughout_a_call() -> None:
    sizes = Bindings()
    assert sizes.bind("x", ("b", "n"), (2, 8)) is None
    assert sizes.bind("w", ("n",), (8,)) is None
    assert sizes.bind("v", ("b",), (3,)) == "[b] with b=2 as in `x`"


def test_leading_sizes_are_the_same_and_do_not_broadcast() -> None:
    sizes = Bindings()
    assert sizes.bind("x", ("...", "n"), (2, 3, 8)) is None
    assert sizes.bind("y", ("...",), (2, 3)) is None
    expected = "[...] with ...=[2, 3] as in `x`"
    assert sizes.bind("z", ("...",), (1, 3)) == expected
    assert sizes.bind("z", ("...",), (3,)) == expected


@given(st.lists(st.integers(0, 5), max_size=5).map(tuple), st.integers(0, 5))
def test_what_was_bound_is_given_back(shape: tuple[int, ...], named: int) -> None:
    symbols = tuple(f"s{i}" for i in range(min(named, len(shape))))
    sizes = Bindings()
    assert sizes.bind("x", ("...", *symbols), shape) is None
    assert sizes.shape_of(("...", *symbols)) == shape
    assert sizes.shape_of(symbols) == shape[len(shape) - len(symbols) :]
