"""There are as many threads as rows that wait for something, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, final

from openautoglm.jobs.running.crew import LOOK_S, SLOW_S, Crew

if TYPE_CHECKING:
    from openautoglm.jobs.running.answering import Answering
    from openautoglm.jobs.running.feed import Feed
    from openautoglm.jobs.running.journal_buffer import JournalBuffer


@final
class Numbers:
    """What a crew looks at of a feed; threads end at once."""

    def __init__(self) -> None:
        self.ended = 0
        self.may_use_more = True

    def take(self) -> None:
        return None


def crew(numbers: Numbers, size: int) -> Crew:
    nothing = cast("Answering", None), cast("JournalBuffer", None)
    return Crew(size, cast("Feed", numbers), *nothing)


def test_threads_double_while_the_rows_they_have_do_not_end() -> None:
    one = crew(Numbers(), 10)
    counts = []
    for look in range(1, 7):
        one.grow(look * 2 * LOOK_S)
        counts.append(len(one))
    assert counts == [1, 2, 4, 8, 10, 10]
    assert one.join(10.0)


def test_rows_that_end_quickly_need_no_second_thread() -> None:
    numbers = Numbers()
    one = crew(numbers, 10)
    one.grow(1.0)
    for look in range(1, 20):
        numbers.ended += 2 * int(LOOK_S / SLOW_S)
        assert one.grow(1.0 + look * 1.5 * LOOK_S) is None
    assert len(one) == 1


def test_where_no_row_is_to_be_had_no_thread_is_added() -> None:
    numbers = Numbers()
    one = crew(numbers, 10)
    one.grow(1.0)
    numbers.may_use_more = False
    one.grow(2.0)
    assert len(one) == 1


def test_threads_are_not_added_faster_than_their_rows_can_be_looked_at() -> None:
    one = crew(Numbers(), 10)
    one.grow(1.0)
    assert one.grow(1.0 + LOOK_S / 2) == LOOK_S
    assert len(one) == 1
