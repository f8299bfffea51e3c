"""Moments one after another: a fixed grid, a single one, or others' between two ends.

Owns `Times` and what reads lengths of time and moments from texts. Knows nothing of cron.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, final

from openautoglm.errors import ScheduleError
from openautoglm.jobs.schedules.zones import first_shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

_LENGTH: Final = re.compile(
    r"(?:(?P<days>\d{1,5})d)?(?:(?P<hours>\d{1,6})h)?"
    r"(?:(?P<minutes>\d{1,8})m)?(?:(?P<seconds>\d{1,9})s)?",
    re.ASCII,
)
_LEAST: Final = timedelta(microseconds=1)


class Times(Protocol):
    """Moments, without end or with one."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments after one, in UTC, each later than the one before."""
        ...


@final
class Grid:
    """Moments at equal distances of elapsed time, whatever clocks are changed.

    Args:
        anchor: the first of them; none is before it.
        step: from one to the next.
    """

    def __init__(self, anchor: datetime, step: timedelta) -> None:
        self._anchor = anchor.astimezone(UTC)
        self._step = step

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments after one."""
        number = max(0, (moment - self._anchor) // self._step + 1)
        while True:
            yield self._anchor + number * self._step
            number += 1


@final
class Once:
    """One moment."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment.astimezone(UTC)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield it, if it is later."""
        if self._moment > moment:
            yield self._moment


@final
class Within:
    """Those moments that lie between two ends, which count as well; None is no end."""

    def __init__(self, times: Times, start: datetime | None, end: datetime | None) -> None:
        self._times = times
        self._start = start
        self._end = end

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments after one."""
        if self._start is not None:
            moment = max(moment, self._start - _LEAST)
        for found in self._times.after(moment):
            if self._end is not None and found > self._end:
                return
            yield found


def length_of(text: object) -> timedelta:
    """Return the length of time that `every` names.

    Raises:
        ScheduleError: it names none, or less than a second.

    Example:
        >>> length_of("1h30m")
        datetime.timedelta(seconds=5400)
    """
    found = _LENGTH.fullmatch(text.strip()) if isinstance(text, str) else None
    units = {unit: int(count) for unit, count in found.groupdict("0").items()} if found else {}
    if not any(units.values()):
        problem = "a length of time is a second at least" if found and text else "no length of time"
        raise ScheduleError(
            f"every: {problem}", got=f"every {text!r}", fix="write it like 30s, 5m, 1h30m or 1d"
        )
    return timedelta(**units)


def moment_of(field: str, text: object, zone: ZoneInfo) -> datetime:
    """Return the moment that a text names, in UTC.

    Args:
        field: where it stands, for errors.
        text: ISO 8601; without an offset it is what the clocks of the zone show.
        zone: of the schedule.

    Raises:
        ScheduleError: it names none.
    """
    try:
        found = datetime.fromisoformat(text)  # type: ignore[arg-type] # TypeError says that it is none
        moment = found.astimezone(UTC) if found.tzinfo else first_shown(found, zone)
    except (ValueError, TypeError, OverflowError) as cause:
        raise ScheduleError(
            f"{field}: this is no date and time",
            got=f"{field} {text!r}",
            fix="write it like 2026-12-24T18:00, or with an offset 2026-12-24T18:00+01:00",
        ) from cause
    if moment.microsecond:
        raise ScheduleError(
            f"{field}: times are whole seconds", got=f"{field} {text!r}", fix="leave the rest out"
        )
    return moment
