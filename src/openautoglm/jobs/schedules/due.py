"""Which times of a schedule fire now, and which were missed: a pure choice.

Owns the rules of catching up. Knows nothing of databases, jobs or overlap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from openautoglm.jobs.schedules.schedule import Catchup
    from openautoglm.jobs.schedules.times import Times

ON_TIME: Final = timedelta(minutes=1)
"""How late a time may be looked at and still be on time; a machine may be busy."""

SKEW: Final = timedelta(minutes=5)
"""By how much the clocks of schedulers may differ. A mark that is ahead of the clock by more was
made when the clock was wrong."""

COUNTED: Final = 1000
"""Missed times that are counted."""

_LEAST: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done about times that came.

    Attributes:
        fire: those that fire, in order.
        missed: the first of those that do not; None where there is none.
        count: how many do not, up to `COUNTED`.
    """

    fire: tuple[datetime, ...] = ()
    missed: datetime | None = None
    count: int = 0


def due(times: Times, catchup: Catchup, *, seen: datetime, now: datetime) -> Due:
    """Choose among the times in (seen, now].

    Only the latest fires, where it is on time or within the window; with "all" so do those before
    it, as many as there may be. All others were missed.
    """
    first = next(times.after(seen), None)
    if first is None or first > now:
        return Due()
    most = catchup.max if catchup.mode == "all" else 1
    fire = _latest(times, max(seen, now - window(catchup) - _LEAST), now, most)
    end = fire[0] if fire else now + _LEAST
    count = sum(1 for _ in islice(takewhile(lambda at: at < end, times.after(seen)), COUNTED))
    return Due(fire=fire, missed=first if count else None, count=count)


def window(catchup: Catchup) -> timedelta:
    """Return how late a time may be fired."""
    return ON_TIME if catchup.mode == "none" else max(ON_TIME, timedelta(seconds=catchup.window_s))


def mark(now: datetime, before: datetime) -> datetime:
    """Return the moment of a change that nothing before it is to fire after.

    It is now, or the mark before, where that is a little ahead: the clock of another machine was.
    """
    return before if now < before <= now + SKEW else now


def _latest(times: Times, begin: datetime, now: datetime, most: int) -> tuple[datetime, ...]:
    """Return the last times in (begin, now], found without a look at all of them."""
    span = ON_TIME
    while True:
        start = max(begin, now - span)
        found = deque(takewhile(lambda at: at <= now, times.after(start)), maxlen=most)
        if len(found) == most or start == begin:
            return tuple(found)
        span *= 4
