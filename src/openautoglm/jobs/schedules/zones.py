"""Time zones: what a wall clock shows at a moment, and when it first shows a time.

Moments are aware and in UTC, times that a clock shows are naive. Knows nothing of schedules.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, available_timezones

from openautoglm.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND: Final = timedelta(seconds=1)
_STRIDE: Final = timedelta(hours=6)  # no clock was ever changed twice within so little


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name in the IANA database.

    Raises:
        ScheduleError: there is none, or the machine has no database of them.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError) as cause:
        known = available_timezones()
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        fix = f"did you mean `{near[0]}`?" if near else "write it like Europe/Berlin, or UTC"
        raise ScheduleError(
            f"timezone: `{name}` is no time zone",
            got=f"timezone {name!r}",
            fix=fix if known else "install the package tzdata: this machine has no time zones",
        ) from cause


def shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what a clock of a zone shows at a moment."""
    return moment.astimezone(zone).replace(tzinfo=None)


def first_shown(time: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment at which a clock of the zone shows `time`, or a later time.

    That is the end of the gap for a time that is skipped when clocks go forward, and the first of
    two for one that comes twice when they go back.

    Example:
        >>> berlin = zone_of("Europe/Berlin")
        >>> first_shown(datetime(2027, 3, 28, 2, 30), berlin).isoformat()
        '2027-03-28T01:00:00+00:00'
        >>> first_shown(datetime(2027, 10, 31, 2, 30), berlin).isoformat()
        '2027-10-31T00:30:00+00:00'
    """
    moment = time.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if shown(moment, zone) == time:
        return moment
    before = time.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _first(before, moment, lambda at: shown(at, zone) >= time)


def first_change(zone: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """Return the first moment in (after, until] at which clocks of the zone are changed."""
    offset = _offset(after, zone)
    low = after
    while low < until:
        high = min(low + _STRIDE, until)
        if _offset(high, zone) != offset:
            return _first(low, high, lambda at: _offset(at, zone) != offset)
        low = high
    return None


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _first(low: datetime, high: datetime, is_past: Callable[[datetime], bool]) -> datetime:
    """Return the first whole second after `low` that is past what is sought; `high` is."""
    low = low.replace(microsecond=0)
    seconds = range(ceil((high - low) / _SECOND))
    return low + bisect_left(seconds, True, key=lambda n: is_past(low + n * _SECOND)) * _SECOND
