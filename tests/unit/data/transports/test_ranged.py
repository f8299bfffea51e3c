from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.data.transports import ranged

CONTENT = bytes(range(256)) * 40

PLACES = st.lists(st.tuples(st.integers(0, len(CONTENT) + 9), st.integers(0, 3000)), max_size=12)


@settings(max_examples=60)
@given(places=PLACES, first=st.integers(1, 500))
def test_a_file_in_ranges_reads_like_one_on_a_disk(
    places: list[tuple[int, int]], first: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranged, "FIRST", first)
        patch.setattr(ranged, "BLOCK", first * 8)
        file = ranged.buffered(len(CONTENT), lambda start, stop: CONTENT[start:stop])
        for place, count in places:
            file.seek(place)
            assert file.read(count) == CONTENT[place : place + count]
            assert file.tell() == place + len(CONTENT[place : place + count])
        assert file.seek(-3, os.SEEK_END) == len(CONTENT) - 3
        assert file.read() == CONTENT[-3:]


def test_a_look_is_cheap_and_a_long_reading_takes_few_requests() -> None:
    asked: list[int] = []
    size = 50 << 20

    def fetch(start: int, stop: int) -> bytes:
        asked.append(stop - start)
        return bytes(stop - start)

    file = ranged.buffered(size, fetch)
    file.seek(size // 2)
    file.read(1)
    assert asked == [ranged.FIRST]
    file.seek(0)
    while file.read(10_000):
        pass
    assert len(asked) < 20
    assert max(asked) == ranged.BLOCK


def test_a_file_of_which_nothing_comes_is_an_error() -> None:
    file = ranged.buffered(10, lambda _start, _stop: b"")
    with pytest.raises(OSError, match="nothing came for bytes 0 to 10"):
        file.read(5)
