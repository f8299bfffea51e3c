from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from openautoglm.jobs.schedules.overlap import Moves, moves
from openautoglm.jobs.schedules.slot import Kind, Slot

if TYPE_CHECKING:
    from openautoglm.jobs.schedules.schedule import Overlap

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def slot(hours: int, kind: Kind = "time") -> Slot:
    fire = NOON + timedelta(hours=hours)
    return Slot(schedule="s", fire=fire, due=fire, kind=kind)


FIRST, SECOND, THIRD = slot(0), slot(1), slot(2)
JOB = ("s-1",)


@pytest.mark.parametrize(
    ("overlap", "running", "expected"),
    [
        ("skip", (), Moves((FIRST,), ((SECOND, "an earlier time was launched just then"),))),
        ("skip", JOB, Moves((), ((FIRST, "s-1 was not done"), (SECOND, "s-1 was not done")))),
        ("queue", (), Moves((FIRST,))),
        ("queue", JOB, Moves()),
        ("cancel", (), Moves((SECOND,), ((FIRST, "a later time took its place"),))),
        ("cancel", JOB, Moves((), ((FIRST, "a later time took its place"),), cancel=True)),
        ("allow", (), Moves((FIRST, SECOND))),
        ("allow", JOB, Moves((FIRST, SECOND))),
    ],
)
def test_two_times_that_are_due(
    overlap: Overlap, running: tuple[str, ...], expected: Moves
) -> None:
    assert moves(overlap, [FIRST, SECOND], running, most=9) == expected


def test_only_so_many_wait_in_a_queue() -> None:
    chosen = moves("queue", [FIRST, SECOND, THIRD], JOB, most=1)
    assert [(late.fire, why) for late, why in chosen.skip] == [
        (SECOND.fire, "1 waited already"),
        (THIRD.fire, "1 waited already"),
    ]
    assert moves("queue", [FIRST, SECOND, THIRD], (), most=2) == Moves((FIRST,))


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
def test_times_of_a_backfill_follow_each_other_behind_all_others(overlap: Overlap) -> None:
    past = [slot(-3, "backfill"), slot(-2, "backfill")]
    assert moves(overlap, past, (), most=9) == Moves((past[0],))
    assert moves(overlap, past, JOB, most=9) == Moves()
    assert moves(overlap, [*past, FIRST], (), most=9) == Moves((FIRST,))


def test_times_of_a_backfill_run_together_where_overlap_is_allowed() -> None:
    past = [slot(-3, "backfill"), slot(-2, "backfill")]
    assert moves("allow", past, JOB, most=9) == Moves(tuple(past))
