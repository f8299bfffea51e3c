"""The moments of a cron expression, found by looking at a clock every minute.

What schedules are checked against: slow, short, and without any of their arithmetic.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo

MINUTE: Final = timedelta(minutes=1)
WARM_UP: Final = timedelta(hours=26)  # longer than clocks were ever put back


def walk(
    zone: ZoneInfo,
    start: datetime,
    end: datetime,
    *,
    matches: Callable[[datetime], bool],
    takes_every_hour: bool,
) -> Iterator[datetime]:
    """Yield the minutes after `start`, up to `end`, at which an expression fires.

    Args:
        zone: whose clock is looked at.
        start: a whole minute, in UTC.
        end: likewise.
        matches: whether the expression names what a clock shows, a naive time.
        takes_every_hour: it fires whenever its time is shown. Otherwise each named time counts
            once, at the first minute at which the clock shows it or is past it.
    """
    minute = start - WARM_UP
    latest = _shown(minute, zone)
    while minute < end:
        minute += MINUTE
        clock = _shown(minute, zone)
        if takes_every_hour:
            fires = matches(clock)
        else:
            fires = any(matches(time) for time in _between(latest, clock))
        latest = max(latest, clock)
        if fires and minute > start:
            yield minute


def _shown(minute: datetime, zone: ZoneInfo) -> datetime:
    return minute.astimezone(UTC).astimezone(zone).replace(tzinfo=None)


def _between(latest: datetime, clock: datetime) -> Iterator[datetime]:
    """Yield the minutes that the clock has come to since the latest that it showed before."""
    while latest < clock:
        latest += MINUTE
        yield latest
