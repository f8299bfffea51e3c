from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine.backends.native.lookup import LONG, MOST, SHORT, Lookup

WORTH = 1000.0


def followed(ids: list[int]) -> int:
    """Return where stands what followed the last time the same was said, -1 if never."""
    for size in (LONG, SHORT):
        if len(ids) < size:
            continue
        for at in range(len(ids) - 1, size - 1, -1):
            if ids[at - size : at] == ids[-size:]:
                return at
    return -1


@given(ids=st.lists(st.integers(0, 3), min_size=1, max_size=40), asked=st.sets(st.integers(1, 40)))
def test_a_guess_is_what_followed_last_time_however_often_it_was_asked(
    ids: list[int], asked: set[int]
) -> None:
    lookup = Lookup()
    for size in sorted(asked | {len(ids)}):
        lookup._from = -1  # not to go on where the last guess was read
        guess = lookup.propose(ids[:size], 1, WORTH)
        at = followed(ids[:size])
        assert guess == ([] if at < 0 else [ids[at]])


@given(ids=st.lists(st.integers(0, 2), min_size=1, max_size=30), most=st.integers(-1, 40))
def test_no_more_is_guessed_than_there_is_room_for(ids: list[int], most: int) -> None:
    assert len(Lookup().propose(ids, most, WORTH)) <= max(0, min(most, MOST))


def test_what_is_said_over_and_over_is_guessed_to_go_on() -> None:
    assert Lookup().propose([7, 1, 2, 1, 2, 1, 2], 4, WORTH) == [1, 2, 1, 2]


def test_a_guess_that_came_true_is_read_on_from_where_it_stood() -> None:
    source = [1, 2, 3, 4, 5, 3, 4, 9]
    lookup = Lookup()
    ids = [*source, 6, 1, 2]
    assert lookup.propose(ids, 2, WORTH) == [3, 4]
    lookup.learn(2, 2)
    ids += [3, 4, 5]
    assert lookup.propose(ids, 2, WORTH) == [3, 4]


def test_after_wrong_guesses_it_pauses_longer_each_time() -> None:
    lookup = Lookup()
    ids = [1, 2] * 4
    tries = []
    for step in range(600):
        guess = lookup.propose(ids, 4, 1.5)
        if guess:
            lookup.learn(len(guess), 0)
            tries.append(step)
        ids += [1, 2]
    gaps = [after - before for before, after in pairwise(tries)]
    assert len(tries) < 40
    assert max(gaps[-8:]) > 4 * max(gaps[:8])


def test_more_is_guessed_at_once_after_right_guesses_and_less_after_wrong_ones() -> None:
    lookup = Lookup()
    ids = [1, 2, 3] * 4
    sizes = []
    for right in (4, 8, 16, 0):
        sizes.append(len(lookup.propose(ids, 100, WORTH)))
        lookup.learn(sizes[-1], right)
        ids += [1, 2, 3]
    sizes.append(len(lookup.propose(ids, 100, WORTH)))
    assert sizes == [4, 8, 16, 16, 4]
