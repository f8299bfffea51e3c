from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from openautoglm.errors import ScheduleError
from openautoglm.jobs.schedules import Catchup, Schedule
from openautoglm.jobs.spec import JobSpec

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def times(*, count: int = 3, **fields: str) -> list[str]:
    schedule = msgspec.convert({"name": "s", **fields}, Schedule)
    return [at.strftime("%d %H:%M:%S") for at in schedule.next(count, NOON)]


def test_a_length_of_time_counts_from_the_start_whatever_clocks_do() -> None:
    start = "2026-11-23T10:00:07"
    assert times(every="1h30m", start=start) == ["23 13:00:07", "23 14:30:07", "23 16:00:07"]
    assert times(every="1d", start="2026-11-24", timezone="Asia/Shanghai", count=2) == [
        "23 16:00:00",
        "24 16:00:00",
    ]


def test_without_a_start_it_counts_from_the_moment_that_is_asked_about() -> None:
    assert times(every="30s", count=2) == ["23 12:00:30", "23 12:01:00"]


def test_a_single_moment_is_read_by_the_clocks_of_the_zone_unless_it_has_an_offset() -> None:
    assert times(at="2026-12-24T18:00", timezone="Europe/Berlin") == ["24 17:00:00"]
    assert times(at="2026-12-24T18:00+05:30", timezone="Europe/Berlin") == ["24 12:30:00"]
    assert times(at="2026-11-23T12:00") == []
    assert times(at="2027-03-28T02:30", timezone="Europe/Berlin") == ["28 01:00:00"]


def test_start_and_end_bound_the_times_and_belong_to_them() -> None:
    found = times(cron="@daily", count=9, start="2026-11-25T00:00", end="2026-11-27T00:00")
    assert found == ["25 00:00:00", "26 00:00:00", "27 00:00:00"]


def test_times_are_those_after_a_moment_that_must_be_aware() -> None:
    assert times(cron="0 12 * * *", count=1) == ["24 12:00:00"]
    with pytest.raises(ScheduleError, match="after: a moment needs a time zone"):
        Schedule(name="s", cron="@daily").next(1, after=datetime(2026, 1, 1))  # noqa: DTZ001 - on purpose


def test_without_a_moment_times_are_those_to_come() -> None:
    (found,) = Schedule(name="s", cron="@daily").next()
    assert found > datetime.now(UTC)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"cron": "61 * * * *"}, "minute: 61 is more than 59"),
        ({"cron": 5}, "cron: there are five fields, not 0"),
        ({"every": "5 minutes"}, "every: no length of time"),
        ({"every": "0s"}, "every: a length of time is a second at least"),
        ({"every": ""}, "every: no length of time"),
        ({"every": 30}, "every: no length of time"),
        ({"every": "30m1h"}, "every: no length of time"),
        ({"at": "tomorrow"}, "at: this is no date and time"),
        ({"at": 5}, "at: this is no date and time"),
        ({"at": "2026-12-24T18:00:00.5"}, "at: times are whole seconds"),
        ({}, "cron: one of cron, every and at says when"),
        ({"cron": "@daily", "every": "1d"}, "cron and every: one of cron, every and at says when"),
        (
            {"cron": "@daily", "timezone": "Europe/Berlim"},
            "timezone: `Europe/Berlim` is no time zone",
        ),
        ({"cron": "@daily", "timezone": "Europe"}, "timezone: `Europe` is no time zone"),
        (
            {"cron": "@daily", "timezone": "../etc/passwd"},
            "timezone: `../etc/passwd` is no time zone",
        ),
        ({"cron": "@daily", "timezone": ""}, "timezone: `` is no time zone"),
        ({"cron": "@daily", "start": "soon"}, "start: this is no date and time"),
        (
            {"cron": "@daily", "end": "0001-01-01", "timezone": "Asia/Tokyo"},
            "end: this is no date and time",
        ),
        (
            {"cron": "@daily", "start": "2026-02-01", "end": "2026-01-01"},
            "end: it is before the start",
        ),
        ({"cron": "@daily", "name": "a/b"}, "name: it is no name for a schedule"),
        ({"cron": "@daily", "name": "x" * 65}, "name: it is no name for a schedule"),
        (
            {"cron": "@daily", "overlap": "queues"},
            "overlap: `queues` is none of skip, queue, cancel, allow",
        ),
        ({"cron": "@daily", "jitter_s": -1}, "jitter_s: it is a number of 0 or more"),
        ({"cron": "@daily", "jitter_s": "5"}, "jitter_s: it is a number of 0 or more"),
        ({"cron": "@daily", "jitter_s": float("nan")}, "jitter_s: it is a number of 0 or more"),
        ({"cron": "@daily", "catchup": Catchup(max=0)}, "catchup.max: it is a number of 1 or more"),
        ({"cron": "@daily", "catchup": {"mode": "all"}}, "catchup: it is something else"),
        ({"cron": "@daily", "job": "summarize"}, "job: it is something else"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_fix(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Schedule(**{"name": "s", **fields})
    assert caught.value.problem == problem
    assert caught.value.fix


def test_the_nearest_zone_is_proposed() -> None:
    with pytest.raises(ScheduleError, match="did you mean `Europe/Berlin`"):
        Schedule(name="s", cron="@daily", timezone="Europe/Berlim")


def test_a_schedule_is_the_same_as_its_json_and_refuses_what_is_no_field() -> None:
    job = JobSpec(source="a.jsonl", sink="b.jsonl", template="{text}")
    made = Schedule(name="s", job=job, cron="30 1 * * mon", catchup=Catchup(mode="all", max=3))
    again = msgspec.json.decode(msgspec.json.encode(made), type=Schedule)
    assert again == made
    with pytest.raises(msgspec.ValidationError, match="minute: 61 is more than 59"):
        msgspec.convert({"name": "s", "cron": "61 * * * *"}, Schedule)
    with pytest.raises(msgspec.ValidationError, match="unknown field `crom`"):
        msgspec.convert({"name": "s", "crom": "@daily"}, Schedule)
