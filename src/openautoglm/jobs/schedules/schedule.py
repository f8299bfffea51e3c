"""When a job runs: `Schedule`, frozen, checked when it is made, and the same as its JSON.

Knows nothing of databases, of what has fired, or of running jobs.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import islice
from types import NoneType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final, get_args

import msgspec

from openautoglm.errors import ScheduleError
from openautoglm.jobs.schedules.cron import Cron
from openautoglm.jobs.schedules.times import Grid, Once, Within, length_of, moment_of
from openautoglm.jobs.schedules.zones import zone_of
from openautoglm.jobs.spec import JobSpec
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from openautoglm.jobs.schedules.times import Times

CatchupMode: TypeAlias = Literal["none", "latest", "all"]
Overlap: TypeAlias = Literal["skip", "queue", "cancel", "allow"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_TRIGGERS: Final = ("cron", "every", "at")
_LONGEST_S: Final = 1e9  # thirty years


@final
class Catchup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of times that passed while no scheduler was there.

    Attributes:
        mode: they are left out; or the latest one is made up for; or all of them are.
        window_s: how old one may be; older ones are left out.
        max: with "all": how many at a time, the latest ones; with overlap "queue" also how many
            may wait.
    """

    mode: CatchupMode = "latest"
    window_s: float = 86_400.0
    max: int = 100


@final
class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job, and the times at which it runs; one of `cron`, `every` and `at` says which.

    Attributes:
        name: letters, digits, `.`, `_` and `-`, 64 at most.
        job: what is run; only a schedule that has one can be applied.
        cron: minute, hour, day of month, month and day of week, as in `30 1 * * mon-fri`; or
            `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
        every: elapsed time from one to the next, such as `30s`, `5m`, `1h30m`, `1d`; counted from
            `start`, or from when the schedule was first applied.
        at: one moment, ISO 8601.
        timezone: whose clocks `cron` means, and `at`, `start` and `end` without an offset.
        start: no time before it, ISO 8601.
        end: no time after it.
        catchup: what becomes of times that nobody was there for.
        overlap: what becomes of a time when the job of an earlier one is not done: it is left out;
            or waits; or that job is cancelled; or both run.
        jitter_s: each time is put off by up to so many seconds, always the same for one time.
        enabled: whether it fires at all.

    Raises:
        ScheduleError: a field is wrong; the message names it and the fix.

    Example:
        >>> daily = Schedule(name="nightly", cron="30 2 * * *", timezone="Europe/Berlin")
        >>> [t.isoformat() for t in daily.next(2, after=datetime(2027, 3, 27, 12, tzinfo=UTC))]
        ['2027-03-28T01:00:00+00:00', '2027-03-29T00:30:00+00:00']
    """

    name: str
    job: JobSpec | None = None
    cron: str | None = None
    every: str | None = None
    at: str | None = None
    timezone: str = "UTC"
    start: str | None = None
    end: str | None = None
    catchup: Catchup = Catchup()
    overlap: Overlap = "skip"
    jitter_s: float = 0.0
    enabled: bool = True

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_kind("catchup", self.catchup, Catchup, "Catchup(mode='all')")
        _check_kind("job", self.job, (JobSpec, NoneType), "JobSpec(source=…, sink=…)")
        _check_choice("overlap", self.overlap, get_args(Overlap))
        _check_choice("catchup.mode", self.catchup.mode, get_args(CatchupMode))
        _check_number("jitter_s", self.jitter_s, least=0)
        _check_number("catchup.window_s", self.catchup.window_s, least=0)
        _check_number("catchup.max", self.catchup.max, least=1)
        _check_kind("catchup.max", self.catchup.max, int, "a whole number")
        self.times(datetime.now(UTC))

    def next(self, count: int = 1, after: datetime | None = None) -> list[datetime]:
        """Return the times to come, in UTC; fewer than `count` where there are no more.

        Jitter is not in them, nor whether the schedule is enabled.

        Args:
            count: how many.
            after: an aware moment; None is now. What `every` without a `start` is counted from.
        """
        moment = datetime.now(UTC) if after is None else after
        if moment.tzinfo is None:
            raise ScheduleError(
                "after: a moment needs a time zone",
                got=repr(after),
                fix="write datetime(…, tzinfo=UTC)",
            )
        return list(islice(self.times(moment).after(moment), count))

    def times(self, anchor: datetime) -> Times:
        """Return all times.

        Args:
            anchor: what `every` is counted from where there is no `start`.
        """
        zone = zone_of(self.timezone)
        start = None if self.start is None else moment_of("start", self.start, zone)
        end = None if self.end is None else moment_of("end", self.end, zone)
        if start and end and end < start:
            raise ScheduleError(
                "end: it is before the start",
                got=f"start {self.start!r}, end {self.end!r}",
                fix="name a later end",
            )
        return Within(self._pattern(zone, start or anchor), start, end)

    def _pattern(self, zone: ZoneInfo, anchor: datetime) -> Times:
        given = [name for name in _TRIGGERS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ScheduleError(
                f"{' and '.join(given) or 'cron'}: one of cron, every and at says when",
                got=f"{len(given)} of them",
                fix="keep one" if given else "write for example cron: '30 1 * * *'",
            )
        if self.cron is not None:
            return Cron(self.cron, zone)
        if self.every is not None:
            return Grid(anchor.replace(microsecond=0), length_of(self.every))
        return Once(moment_of("at", self.at, zone))


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ScheduleError(
            "name: it is no name for a schedule",
            got=f"name {name!r}"[:200],
            fix="use letters, digits, dots, underscores and hyphens, 64 at most, first no sign",
        )


def _check_kind(field: str, value: object, kind: type | tuple[type, ...], example: str) -> None:
    if not isinstance(value, kind):
        raise ScheduleError(
            f"{field}: it is something else",
            got=f"{field} {value!r}"[:200],
            fix=f"write {example}",
        )


def _check_choice(field: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        near = suggest(str(value), known)
        raise ScheduleError(
            f"{field}: `{value}` is none of {', '.join(known)}",
            got=f"{field} {value!r}",
            fix=near or f"write one of {', '.join(known)}",
        )


def _check_number(field: str, value: object, *, least: int) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= _LONGEST_S:  # type: ignore[operator] # it is one
        raise ScheduleError(
            f"{field}: it is a number of {least} or more",
            got=f"{field} {value!r}",
            fix=f"write {least} to {_LONGEST_S:.0f}",
        )
