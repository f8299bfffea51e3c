from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.data.formats.shapes import (
    MOST_FIELDS,
    ListShape,
    ObjectShape,
    Shape,
    is_json,
    joined,
    shape_of,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ([None, "a"], "text"),
        ([1, 0.5], "number"),
        ([1, 1 << 60], "long"),
        ([0.5, 1 << 60], "json"),
        ([1 << 70], "json"),
        ([True, 1], "json"),
        ([[], [1], [None, 0.5]], ListShape("number")),
        ([[1], ["a"]], ListShape("json")),
        ([{"a": 1}, {"b": [None]}], ObjectShape({"a": "integer", "b": ListShape("null")})),
        ([{"a": 1}, [1]], "json"),
        ([{}], "json"),
        ([{str(n): n for n in range(MOST_FIELDS + 1)}], "json"),
    ],
)
def test_values_have_a_shape_in_common(values: list[object], shape: Shape) -> None:
    start: Shape = "null"
    found = reduce(joined, map(shape_of, values), start)
    assert found == shape
    assert is_json(found) == ("json" in str(shape))


def test_very_deep_values_are_json() -> None:
    deep: object = 1
    for _ in range(20):
        deep = [deep]
    assert is_json(shape_of(deep))


@given(values=st.lists(VALUES, min_size=1, max_size=5), order=st.randoms())
def test_the_order_of_values_does_not_change_what_they_have_in_common(
    values: list[object], order: object
) -> None:
    start: Shape = "null"
    shapes = [shape_of(value) for value in values]
    found = reduce(joined, shapes, start)
    assert hasattr(order, "shuffle")
    order.shuffle(shapes)
    assert is_json(reduce(joined, shapes, start)) == is_json(found)
    assert joined(found, found) == found
    assert all(joined(found, shape) == found for shape in shapes)
