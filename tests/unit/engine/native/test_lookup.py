from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from openautoglm.engine.backends.native.scheduling.lookup import (
    LONG,
    MOST,
    SHORT,
    Experience,
    Lookup,
)

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


@example(ids=[1, 1, 1, 1, 0, 1, 1, 1, 1], asked=set())
@given(ids=st.lists(st.integers(0, 3), min_size=1, max_size=40), asked=st.sets(st.integers(1, 40)))
def test_a_guess_is_what_followed_last_time_however_often_it_was_asked(
    ids: list[int], asked: set[int]
) -> None:
    lookup = Lookup(Experience(), 0)
    lookup._said_to = len(ids)  # nothing is taken for what answers say of their own accord
    for size in sorted(asked | {len(ids)}):
        lookup._from = -1  # not to go on where the last guess was read
        guess = lookup.propose(ids[:size], 1, WORTH)
        at = followed(ids[:size])
        assert guess == ([] if at < 0 else [ids[at]])


@given(
    ids=st.lists(st.integers(0, 2), min_size=1, max_size=30),
    prompt=st.integers(1, 30),
    most=st.integers(-1, 40),
)
def test_no_more_is_guessed_than_there_is_room_for(ids: list[int], prompt: int, most: int) -> None:
    lookup = Lookup(Experience(), min(prompt, len(ids)))
    assert len(lookup.propose(ids, most, WORTH)) <= max(0, min(most, MOST))


def test_what_is_said_over_and_over_is_guessed_to_go_on() -> None:
    guess = Lookup(Experience(), 7).propose([7, 1, 2, 1, 2, 1, 2], 4, WORTH)
    assert guess == [1, 2, 1, 2]


def test_one_word_of_the_prompt_is_enough_to_guess_what_follows_where_it_stood_first() -> None:
    prompt = [1, 2, 3, 4, 2, 5]
    assert Lookup(Experience(), len(prompt)).propose([*prompt, 9, 2], 2, WORTH) == [3, 4]


def test_a_guess_that_came_true_is_read_on_from_where_it_stood() -> None:
    source = [1, 2, 3, 4, 5, 3, 4, 9]
    lookup = Lookup(Experience(), len(source))
    ids = [*source, 6, 1, 2]
    assert lookup.propose(ids, 2, WORTH) == [3, 4]
    lookup.learn([3, 4], 2)
    ids += [3, 4, 5]
    assert lookup.propose(ids, 2, WORTH) == [3, 4]


def test_what_other_answers_say_between_copies_is_guessed_whatever_they_copied() -> None:
    shared = Experience()
    first = [1, 2, 3, 90, 91, 1, 92, 93, 94, 2]
    Lookup(shared, 3).propose(first, 1, WORTH)
    second = [5, 6, 90, 91, 5, 6, 5]
    lookup = Lookup(shared, 2)
    lookup.propose(second, 1, WORTH)
    assert lookup.propose([*second, 92], 4, WORTH) == [93, 94]


def test_wrong_guesses_become_rare_but_are_tried_again() -> None:
    lookup = Lookup(Experience(), 8)
    ids = [1, 2] * 4
    tries = []
    for step in range(600):
        guess = lookup.propose(ids, 4, 1.5)
        if guess:
            lookup.learn(guess, 0)
            tries.append(step)
        ids += [1, 2]
    assert 2 <= len(tries) < 20


def test_more_is_guessed_after_right_guesses_and_less_after_wrong_ones() -> None:
    lookup = Lookup(Experience(), 12)
    ids = [1, 2, 3] * 4
    sizes = []
    for right in (16, 16, 16, 0, 0, 0):
        guess = lookup.propose(ids, 16, 2.0)
        sizes.append(len(guess))
        lookup.learn(guess, min(right, len(guess)))
        ids += [1, 2, 3]
    assert sizes[0] < sizes[3]
    assert sizes[5] < sizes[3]


def test_guesses_end_where_copies_ended_before() -> None:
    shared = Experience()
    end = 7
    for _ in range(8):
        lookup = Lookup(shared, 8)
        ids = [1, 2, 3, 4, end, 5, 6, 8, 9, 1]
        lookup.learn(lookup.propose(ids, 8, 3.0), 3)
    assert Lookup(shared, 8).propose([1, 2, 3, 4, end, 5, 6, 8, 9, 1], 8, 3.0) == [2, 3, 4]


def test_one_sequence_that_does_not_copy_leaves_guesses_to_others() -> None:
    shared = Experience()
    prompt = [1, 2, 3, 4, 5, 6]
    copying, other = Lookup(shared, 6), Lookup(shared, 6)
    for _ in range(12):
        copying.learn(copying.propose([*prompt, 9, 1, 2], 4, 2.0), 4)
        guess = other.propose([*prompt, 9, 1, 2], 4, 2.0)
        if guess:
            other.learn(guess, 0)
    assert copying.propose([*prompt, 9, 1, 2], 4, 2.0)
    assert not other.propose([*prompt, 9, 1, 2], 4, 2.0)
