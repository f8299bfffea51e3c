"""Ids that are there twice are found, whatever the number of rows, and nothing else is."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from openautoglm.data import Record
from openautoglm.jobs import duplicates
from openautoglm.jobs.duplicates import Seen, hash_of, id_of, repeated_hashes


@given(st.lists(st.text(max_size=3), max_size=60))
def test_every_id_that_is_there_twice_has_its_hash_among_the_repeated(ids: list[str]) -> None:
    wanted = {hash_of(one) for one in ids if ids.count(one) > 1}
    assert repeated_hashes(ids) == wanted


@given(st.lists(st.integers(0, 50), max_size=200))
def test_sorting_finds_the_same_as_a_set(numbers: list[int]) -> None:
    wanted = {one for one in numbers if numbers.count(one) > 1}
    assert duplicates._by_sorting(array("Q", numbers)) == wanted


@given(st.lists(st.integers(0, 30), max_size=100), st.integers(1, 7))
def test_slices_find_the_same_as_all_at_once(numbers: list[int], slices: int) -> None:
    wanted = {one for one in numbers if numbers.count(one) > 1}
    found = duplicates._in_slices(array("Q", numbers), slices)
    assert found == wanted


def test_the_first_row_of_an_id_is_named_with_the_second() -> None:
    seen = Seen(frozenset({hash_of("a"), hash_of("b")}))
    assert seen.before("a", "rows:1") is None
    assert seen.before("b", "rows:2") is None
    assert seen.before("c", "rows:3") is None
    assert seen.before("c", "rows:4") is None  # its hash was not repeated: not looked at
    assert seen.before("a", "rows:5") == "rows:1"
    assert seen.before(None, "rows:6") is None


def test_two_texts_with_one_hash_are_two_ids() -> None:
    seen = Seen(frozenset({hash_of("a"), hash_of("b")}))
    seen._hashes = frozenset(range(2)) | {hash_of("a"), hash_of("b")}
    assert [seen.before("a", "1"), seen.before("b", "2")] == [None, None]


def test_an_id_is_its_text_whatever_its_type() -> None:
    def one(value: object) -> str | None:
        return id_of(Record(key="k", position="1", values={"id": value}), "id")

    assert one("1") == one(1) == "1"
    assert one({"b": 1, "a": 2}) == one({"a": 2, "b": 1})
    assert one(None) is None
    assert one("") == ""
    assert id_of(Record(key="k", position="1"), "id") is None
