"""Moments by a cron expression on the clocks of a time zone.

When clocks are changed, two rules hold. An expression that names hours, such as `30 2 * * *`, fires
each named time once: the first moment that the clock shows it or, where it is skipped, a later
time. One that takes every hour, such as `*/20 * * * *`, fires whenever the clock shows a minute
that is named: an hour that comes twice is gone through twice, one that is skipped is not made up
for. Days are combined as cron does: by "or" where both day fields name some, else by "and".

cronsim does the arithmetic of calendars, on clocks that are never changed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, final

from openautoglm.errors import ScheduleError
from openautoglm.jobs.schedules.cron_fields import HOUR, checked, numbers
from openautoglm.jobs.schedules.zones import first_change, first_shown, shown
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

_EVERY_HOUR: Final = 24
_SECOND: Final = timedelta(seconds=1)
_SOME_TIME: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - what a clock shows has no zone


@final
class Cron:
    """The moments of an expression.

    Args:
        expression: five fields, or a nickname such as `@daily`.
        zone: whose clocks.

    Raises:
        ScheduleError: it names no times; the message names the field.
        MissingExtraError: cronsim is not installed.
    """

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        fields = checked(expression)
        self._fields = " ".join(fields)
        self._zone = zone
        self._is_hourly = len(numbers(HOUR, fields[1])) == _EVERY_HOUR
        self._cronsim: Any = need("cronsim", extra="jobs", why="a cron expression")
        try:
            self._cronsim.CronSim(self._fields, _SOME_TIME)
        except self._cronsim.CronSimError as cause:
            raise ScheduleError(
                "day of month: none of the months has that day",
                got=f"cron {expression!r}: {cause}",
                fix="name a day that one of the months has, or L for its last",
            ) from cause

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments after one, in UTC, each later than the one before."""
        begin = moment.astimezone(UTC)
        return self._each_hour(begin) if self._is_hourly else self._named(begin)

    def _named(self, last: datetime) -> Iterator[datetime]:
        zone = self._zone
        for time in self._cronsim.CronSim(self._fields, shown(last, zone)):
            moment = first_shown(time, zone)
            if moment > last:
                last = moment
                yield moment

    def _each_hour(self, last: datetime) -> Iterator[datetime]:
        """Go from one change of the clocks to the next: until it, they differ by a constant."""
        begin: datetime | None = last
        while begin is not None:
            clock = shown(begin, self._zone)
            offset = clock - begin.replace(tzinfo=None)
            changed = None
            for time in self._cronsim.CronSim(self._fields, clock - _SECOND):  # `clock` counts too
                moment = (time - offset).replace(tzinfo=UTC)
                changed = first_change(self._zone, begin, moment)
                if changed is not None:
                    break
                begin = moment
                if moment > last:
                    last = moment
                    yield moment
            begin = changed
