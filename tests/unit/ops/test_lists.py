from __future__ import annotations

from openautoglm.ops.lists import counts_of, flat, nested, spread


def test_lists_lie_flat_and_come_back() -> None:
    values = [1, [2, 3], None, [], [4]]
    counts = counts_of(values)
    assert counts == (None, 2, None, 0, 1)
    assert flat(values) == [1, 2, 3, None, 4]
    assert nested(flat(values), counts) == values


def test_what_is_said_of_a_list_is_said_of_every_array_of_it() -> None:
    assert spread("abc", (None, 2, 0)) == ["a", "b", "b"]
