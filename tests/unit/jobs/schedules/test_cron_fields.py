from __future__ import annotations

import pytest

from openautoglm.errors import ScheduleError
from openautoglm.jobs.schedules.cron_fields import HOUR, MINUTE, checked, numbers


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("61 * * * *", "minute: 61 is more than 59"),
        ("* 24 * * *", "hour: 24 is more than 23"),
        ("0 0 0 * *", "day of month: 0 is less than 1"),
        ("0 0 32 * *", "day of month: 32 is more than 31"),
        ("0 0 1 13 *", "month: 13 is more than 12"),
        ("0 0 1 foo *", "month: `FOO` is neither a number nor a name"),
        ("0 0 * * 8", "day of week: 8 is more than 7"),
        ("0 0 * * moon", "day of week: `MOON` is neither a number nor a name"),
        ("0 0 * * mon#6", "day of week: `MON#6` is neither a number nor a name"),
        ("0 17-9 * * *", "hour: 17-9 ends before it begins"),
        ("0 0 * * fri-mon", "day of week: FRI-MON ends before it begins"),
        ("*/0 * * * *", "minute: a step of 0 goes nowhere"),
        ("*/x * * * *", "minute: the step `X` is no number"),
        ("0, * * * *", "minute: nothing stands where a value should"),
        ("-5 * * * *", "minute: nothing stands where a value should"),
        ("0 1,2,99 * * *", "hour: 99 is more than 23"),
        ("² * * * *", "minute: `²` is no number"),
        ("1.5 * * * *", "minute: `1.5` is no number"),
        ("* * * *", "cron: there are five fields, not 4"),
        ("0 * * * * *", "cron: there are five fields, not 6"),
        ("", "cron: there are five fields, not 0"),
        ("@reboot", "cron: there are five fields, not 1"),
    ],
)
def test_an_error_names_the_field_and_what_may_stand_there(expression: str, problem: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        checked(expression)
    assert caught.value.problem == problem
    assert repr(expression) in str(caught.value.got)
    assert caught.value.fix


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 * * 5L",
        "0 0 * * mon#2",
        "0 0 1,L jan-mar/2 */2",
        "5/20 * * * 7",
    ],
)
def test_the_last_days_certain_weeks_and_steps_are_taken(expression: str) -> None:
    assert checked(expression) == tuple(expression.upper().split())


def test_nicknames_stand_for_their_five_fields() -> None:
    assert checked(" @Daily ") == ("0", "0", "*", "*", "*")


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("*", set(range(60))),
        ("*/20", {0, 20, 40}),
        ("5/20", {5, 25, 45}),
        ("10-13,58", {10, 11, 12, 13, 58}),
        ("10-20/5", {10, 15, 20}),
        ("7", {7}),
    ],
)
def test_a_field_stands_for_numbers(part: str, found: set[int]) -> None:
    assert numbers(MINUTE, part) == found


def test_every_hour_may_be_written_in_several_ways() -> None:
    assert numbers(HOUR, "*") == numbers(HOUR, "0-23") == numbers(HOUR, "*/1") == set(range(24))
