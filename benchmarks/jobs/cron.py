"""Daily and weekly times in every time zone there is, over ten years, beside other libraries.

    python benchmarks/jobs/cron.py --zones Europe/Berlin,UTC --years 2 --peers croniter

The truth is found without any of their arithmetic: the clock of a zone is read every quarter of an
hour, and every minute of a quarter in which it was changed; a named time is due at the first minute
at which the clock shows it or is past it. A library may have another rule for times that are
skipped: that is counted as "at another minute", not as a fault. Zones whose clocks showed the same
in all the years are worked on once and counted each. Ends with 1 where a time of ours is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

sys.path.insert(1, str(Path(__file__).parents[1]))

from timing import busy_cores, noise, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from timing import Cell

FIRST_YEAR: Final = 2017
TIMES: Final = {  # expression: hour, minute, weekday (Monday is 0) or None
    "0 0 * * *": (0, 0, None),
    "30 1 * * *": (1, 30, None),
    "30 2 * * *": (2, 30, None),
    "15 3 * * sun": (3, 15, 6),
}
QUARTER_S: Final = 900
DAY_M: Final = 1440
EDGE: Final = timedelta(days=2)  # so far from both ends times are compared
EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Found:
    """How many named times were right, and how not; how many were computed, in how many seconds."""

    named: int = 0
    missed: int = 0
    twice: int = 0
    elsewhere: int = 0
    computed: int = 0
    seconds: float = 0.0

    def __add__(self, other: Found) -> Found:
        return Found(
            self.named + other.named,
            self.missed + other.missed,
            self.twice + other.twice,
            self.elsewhere + other.elsewhere,
            self.computed + other.computed,
            self.seconds + other.seconds,
        )

    def of(self, zones: int) -> Found:
        """Return the same for so many zones; it was computed once."""
        return replace(
            self,
            named=self.named * zones,
            missed=self.missed * zones,
            twice=self.twice * zones,
            elsewhere=self.elsewhere * zones,
        )


def ours(expression: str, zone: str, start: datetime) -> Iterator[datetime]:
    """Yield what `Schedule` says."""
    from openautoglm.jobs.schedules.schedule import Schedule

    return Schedule(name="s", cron=expression, timezone=zone).times(start).after(start)


def cronsim(expression: str, zone: str, start: datetime) -> Iterator[datetime]:
    """Yield what cronsim says if it is given the zone, which `Schedule` does not do."""
    from cronsim import CronSim

    return iter(CronSim(expression, start.astimezone(ZoneInfo(zone))))


def croniter(expression: str, zone: str, start: datetime) -> Iterator[datetime]:
    """Yield what croniter says."""
    from croniter import croniter as library

    found = library(expression, start.astimezone(ZoneInfo(zone)))
    while True:
        yield found.get_next(datetime)


def apscheduler(expression: str, zone: str, start: datetime) -> Iterator[datetime]:
    """Yield what APScheduler's trigger says, asked as its scheduler asks it."""
    from apscheduler.triggers.cron import CronTrigger

    trigger = CronTrigger.from_crontab(expression, timezone=ZoneInfo(zone))
    found = trigger.get_next_fire_time(None, start)
    while found is not None:
        yield found
        after = found.astimezone(UTC) + timedelta(microseconds=1)
        found = trigger.get_next_fire_time(found, after.astimezone(ZoneInfo(zone)))


METHODS: Final[Mapping[str, Callable[[str, str, datetime], Iterator[datetime]]]] = {
    "openautoglm": ours,
    "cronsim": cronsim,
    "croniter": croniter,
    "APScheduler": apscheduler,
}


def shown(zone: str, years: int) -> np.ndarray:
    """Return what the clock shows at each minute of the years, in minutes since 1970."""
    where = ZoneInfo(zone)
    begin = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(FIRST_YEAR + years, 1, 1, tzinfo=UTC).timestamp())
    quarters = np.array([_offset_m(at, where) for at in range(begin, end, QUARTER_S)], np.int32)
    offsets = np.repeat(quarters, QUARTER_S // 60)
    for changed in np.flatnonzero(np.diff(quarters)):
        first = int(changed) * QUARTER_S // 60
        for minute in range(first, min(first + 2 * QUARTER_S // 60, len(offsets))):
            offsets[minute] = _offset_m(begin + minute * 60, where)
    return np.arange(begin // 60, end // 60, dtype=np.int64) + offsets


def _offset_m(second: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds() // 60)


def truth(clock: np.ndarray, hour: int, minute: int, weekday: int | None) -> dict[int, int]:
    """Return the minute, counted from the first, at which each day's named time is due."""
    latest = np.maximum.accumulate(clock)
    days = np.arange(clock[0] // DAY_M + 1, clock[-1] // DAY_M)
    if weekday is not None:
        days = days[(days + EPOCH_WEEKDAY) % 7 == weekday]
    due = np.searchsorted(latest, days * DAY_M + hour * 60 + minute)
    return dict(zip(days.tolist(), due.tolist(), strict=True))


def compared(method: str, zone: str, clock: np.ndarray, years: int) -> Found:
    """Compare what a method says with the truth."""
    start = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    first, last = start + EDGE, datetime(FIRST_YEAR + years, 1, 1, tzinfo=UTC) - EDGE
    total = Found()
    for expression, time_of_day in TIMES.items():
        began = time.perf_counter()
        found = list(takewhile(lambda at: at <= last, METHODS[method](expression, zone, start)))
        seconds = time.perf_counter() - began
        fired: defaultdict[int, list[int]] = defaultdict(list)
        for at in (_minute(at) for at in found if at >= first):
            fired[int(clock[at]) // DAY_M].append(at)
        due = truth(clock, *time_of_day).items()
        due_here = {day: at for day, at in due if _minute(first) <= at <= _minute(last)}
        total += _counted(due_here, fired) + Found(computed=len(found), seconds=seconds)
    return total


def _minute(moment: datetime) -> int:
    return round((moment - datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)).total_seconds() / 60)


def _counted(due: Mapping[int, int], fired: Mapping[int, Sequence[int]]) -> Found:
    once = {day: at[0] for day, at in fired.items() if len(at) == 1}
    unasked = sum(len(at) for day, at in fired.items() if day not in due)
    return Found(
        named=len(due),
        missed=sum(day not in fired for day in due),
        twice=sum(len(at) - 1 for day, at in fired.items() if day in due),
        elsewhere=sum(once.get(day, at) != at for day, at in due.items()) + unasked,
    )


def measured(
    zones: Sequence[str], years: int, methods: Sequence[str]
) -> tuple[dict[str, Found], int]:
    """Return what each method found, all zones together, and how many of them differ."""
    same: defaultdict[bytes, list[str]] = defaultdict(list)
    found = dict.fromkeys(methods, Found())
    with ProcessPoolExecutor() as pool:
        histories = pool.map(_history, zones, [years] * len(zones), chunksize=4)
        for zone, history in zip(zones, histories, strict=True):
            same[history].append(zone)
        groups = list(same.values())
        work = [(group[0], years, methods) for group in groups]
        for group, results in zip(groups, pool.map(_compared, work), strict=True):
            for method, result in results.items():
                found[method] += result.of(len(group))
    return found, len(groups)


def _history(zone: str, years: int) -> bytes:
    """Return what a zone's clock showed, as a short text: when it was changed, and to what."""
    clock = shown(zone, years)
    changed = np.flatnonzero(np.diff(clock) != 1)
    return clock[[0, *changed, *(changed + 1)]].tobytes() + changed.tobytes()


def _compared(work: tuple[str, int, Sequence[str]]) -> dict[str, Found]:
    zone, years, methods = work
    clock = shown(zone, years)
    return {method: compared(method, zone, clock, years) for method in methods}


def main() -> None:
    """Measure, print a table, and write JSON where `--json PATH` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--zones", default="", help="names, by commas; all where there are none")
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument(
        "--peers", default="cronsim,croniter,APScheduler", help="by commas, or none"
    )
    options = parser.parse_args()
    known = sorted(available_timezones() - {"localtime", "Factory"})
    zones = options.zones.split(",") if options.zones else known
    busy = busy_cores()
    methods = ["openautoglm", *(peer for peer in options.peers.split(",") if peer in METHODS)]
    found, different = measured(zones, options.years, methods)
    rows: list[dict[str, Cell]] = [
        {
            "method": method,
            "version": version(method.lower()),
            "named times": f.named,
            "missed": f.missed,
            "fired twice": f.twice,
            "at another minute": f.elsewhere,
            "times/s": round(f.computed / f.seconds),
        }
        for method, f in found.items()
    ]
    measured_here = f"{len(zones)} zones ({different} that differ), {options.years} years."
    publish(
        "Named times when clocks are changed",
        rows,
        notes=f"{measured_here} {noise(busy)}".strip(),
        target=options.json,
        more={"busy_cores_before": round(busy, 2)},
    )
    own = found["openautoglm"]
    sys.exit(int(own.missed + own.twice + own.elsewhere > 0))


if __name__ == "__main__":
    main()
