"""Clocks that are changed, and any expression against a walk through all minutes."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.errors import ScheduleError
from openautoglm.jobs.schedules.cron import Cron
from openautoglm.jobs.schedules.zones import zone_of
from openautoglm.testing.clock_walk import walk

SPAN = timedelta(hours=40)


def local(expression: str, zone: str, start: str, *, hours: float) -> list[str]:
    """Return the times after a local one, as clocks show them, with their offsets."""
    where = zone_of(zone)
    begin = datetime.fromisoformat(start).replace(tzinfo=where).astimezone(UTC)
    end = begin + timedelta(hours=hours)
    found = takewhile(lambda at: at <= end, Cron(expression, where).after(begin))
    return [at.astimezone(where).strftime("%d %H:%M%z") for at in found]


@pytest.mark.parametrize(
    ("expression", "zone", "start", "hours", "times"),
    [
        # forward, 02:00 to 03:00: a time that is skipped fires once, at the end of the gap
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00",
            48,
            ["08 03:00-0400", "09 02:30-0400"],
        ),
        ("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00", 36, ["28 03:00+0200"]),
        # several in one gap are one; what follows the gap is not put off
        ("*/20 2 * * *", "Europe/Berlin", "2027-03-27T12:00", 24, ["28 03:00+0200"]),
        (
            "0,30 2-3 * * *",
            "Europe/Berlin",
            "2027-03-27T12:00",
            24,
            ["28 03:00+0200", "28 03:30+0200"],
        ),
        # back, 02:00 to 01:00: a time that comes twice fires once, the first time
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00",
            48,
            ["01 01:30-0400", "02 01:30-0500"],
        ),
        ("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00", 36, ["31 02:30+0200"]),
        (
            "0 */2 * * *",
            "Europe/Berlin",
            "2027-10-30T23:00",
            7,
            ["31 00:00+0200", "31 02:00+0200", "31 04:00+0100"],
        ),
        # every hour is every hour: both of two, none of those that are skipped
        (
            "0 * * * *",
            "America/New_York",
            "2026-11-01T00:30",
            3,
            ["01 01:00-0400", "01 01:00-0500", "01 02:00-0500"],
        ),
        (
            "30 * * * *",
            "America/New_York",
            "2026-03-08T00:45",
            3,
            ["08 01:30-0500", "08 03:30-0400", "08 04:30-0400"],
        ),
        # half an hour, and midnight
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 24, ["04 02:30+1100"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", 24, ["05 01:45+1100"]),
        (
            "*/15 3 * * *",
            "Australia/Lord_Howe",
            "2026-10-04T00:00",
            5,
            ["04 03:00+1100", "04 03:15+1100", "04 03:30+1100", "04 03:45+1100"],
        ),
        ("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00", 24, ["29 01:00+0300"]),
        ("30 0 * * 0", "Asia/Beirut", "2026-03-28T12:00", 24, ["29 01:00+0300"]),
        # a day that Samoa left out: its time fires as that day would have begun, which is the next
        (
            "0 5 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00",
            48,
            ["29 05:00-1000", "31 00:00+1400", "31 05:00+1400"],
        ),
        # ordinary days
        ("@daily", "Asia/Shanghai", "2026-11-23T12:00", 35, ["24 00:00+0800"]),
        ("0 9 * * mon-fri", "Europe/Berlin", "2026-11-20T12:00", 72, ["23 09:00+0100"]),
        ("0 12 L * *", "UTC", "2028-02-27T00:00", 96, ["29 12:00+0000"]),
    ],
)
def test_each_named_time_fires_once_when_clocks_are_changed(
    expression: str, zone: str, start: str, hours: float, times: list[str]
) -> None:
    assert local(expression, zone, start, hours=hours) == times


def test_a_search_that_begins_within_the_hour_that_comes_again_finds_nothing_a_second_time() -> (
    None
):
    berlin = zone_of("Europe/Berlin")
    again = datetime(2027, 10, 31, 2, 10, tzinfo=berlin, fold=1)
    found = next(Cron("30 2 * * *", berlin).after(again))
    assert found == datetime(2027, 11, 1, 1, 30, tzinfo=UTC)


def test_seconds_and_zones_of_where_a_search_begins_do_not_matter() -> None:
    cron = Cron("*/5 * * * *", zone_of("UTC"))
    shanghai = zone_of("Asia/Shanghai")
    begin = datetime(2026, 11, 23, 20, 4, 59, 999_999, tzinfo=shanghai)
    assert next(cron.after(begin)) == datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    assert next(cron.after(datetime(2026, 11, 23, 12, 5, tzinfo=UTC))) == datetime(
        2026, 11, 23, 12, 10, tzinfo=UTC
    )


def test_leap_days_are_years_apart() -> None:
    found = Cron("0 0 29 2 *", zone_of("Europe/Berlin")).after(datetime(2026, 1, 1, tzinfo=UTC))
    assert [next(found).year, next(found).year] == [2028, 2032]


def test_a_day_that_no_month_has_is_refused() -> None:
    with pytest.raises(ScheduleError, match="day of month: none of the months has that day"):
        Cron("0 0 31 2,4 *", zone_of("UTC"))


@dataclass(frozen=True)
class Drawn:
    """An expression, and what it means, written down side by side."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_and: bool

    def matches(self, clock: datetime) -> bool:
        last = monthrange(clock.year, clock.month)[1]
        is_day = clock.day in self.days or (0 in self.days and clock.day == last)
        is_weekday = clock.isoweekday() % 7 in self.weekdays
        day = is_day and is_weekday if self.is_and else is_day or is_weekday
        time = clock.minute in self.minutes and clock.hour in self.hours
        return time and day and clock.month in self.months


def field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """Draw a field and the numbers it stands for."""
    number = st.integers(low, high)
    whole = frozenset(range(low, high + 1))
    few = st.sets(number, min_size=1, max_size=4)
    return st.one_of(
        st.just(("*", whole)),
        few.map(lambda found: (",".join(map(str, sorted(found))), frozenset(found))),
        st.tuples(number, number).map(lambda ends: _range(*sorted(ends))),
        st.integers(2, high).map(lambda step: (f"*/{step}", frozenset(range(low, high + 1, step)))),
    )


def _range(first: int, last: int) -> tuple[str, frozenset[int]]:
    return f"{first}-{last}", frozenset(range(first, last + 1))


@st.composite
def expressions(draw: st.DrawFn) -> Drawn:
    minute, minutes = draw(field(0, 59))
    hour, hours = draw(st.one_of(field(0, 4), field(0, 23)))
    if hour == "*":
        hours = frozenset(range(24))
    elif hour.startswith("*/"):
        hours = frozenset(range(0, 24, int(hour[2:])))
    day, days = draw(st.one_of(st.just(("*", frozenset(range(32)))), field(1, 31)))
    if draw(st.booleans()) and not day.startswith("*") and "-" not in day:
        day, days = f"{day},L", days | {0}
    month, months = draw(st.one_of(st.just(("*", frozenset(range(13)))), field(1, 12)))
    weekday, weekdays = draw(st.one_of(st.just(("*", frozenset(range(7)))), field(0, 6)))
    return Drawn(
        text=f"{minute} {hour} {day} {month} {weekday}",
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        is_and=day.startswith("*") or weekday.startswith("*"),
    )


CHANGES = (
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2027, 3, 28, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2027, 10, 31, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2026, 3, 28, 22, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2026, 10, 24, 21, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),
    ("Pacific/Chatham", datetime(2026, 9, 26, 14, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Asia/Shanghai", datetime(2026, 12, 31, 16, tzinfo=UTC)),
    ("UTC", datetime(2028, 2, 29, tzinfo=UTC)),
)


@settings(max_examples=100, deadline=None)
@given(
    drawn=expressions(),
    change=st.sampled_from(CHANGES),
    before_m=st.integers(0, 30 * 60),
    seconds=st.integers(0, 59),
)
def test_any_expression_fires_when_a_walk_through_all_minutes_says_so(
    drawn: Drawn, change: tuple[str, datetime], before_m: int, seconds: int
) -> None:
    name, changed = change
    zone = zone_of(name)
    start = changed - timedelta(minutes=before_m)
    end = start + SPAN
    walked = walk(
        zone,
        start,
        end,
        matches=drawn.matches,
        takes_every_hour=drawn.hours == frozenset(range(24)),
    )
    try:
        cron = Cron(drawn.text, zone)
    except ScheduleError:  # such as the 31st of a month that has 30 days
        assert min(drawn.days) > 29
        return
    begin = start + timedelta(seconds=seconds)
    found = list(takewhile(lambda at: at <= end, cron.after(begin)))
    assert found == list(walked)
