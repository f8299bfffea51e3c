"""What is printed of schedules: lines for people, JSON for programs.

Knows nothing of ledgers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from openautoglm.jobs.schedules import Entry, Schedule, Slot


def as_json(value: Entry | Slot) -> str:
    """Return a schedule as it stands, or one of its times, as one line of JSON."""
    import msgspec

    return msgspec.json.encode(value).decode()


def clock(moment: datetime, schedule: Schedule) -> str:
    """Write a moment as the clocks of a schedule's time zone show it, with the offset from UTC."""
    from zoneinfo import ZoneInfo

    return moment.astimezone(ZoneInfo(schedule.timezone)).isoformat(timespec="seconds")


def coming(entry: Entry) -> str:
    """Say when a schedule fires next."""
    if not entry.is_on:
        return "paused" if entry.is_paused else "not enabled"
    times = entry.next(1)
    return f"next {clock(times[0], entry.schedule)}" if times else "no times to come"


def listed(entry: Entry) -> str:
    """Return a schedule as one line of a list."""
    schedule = entry.schedule
    when = schedule.cron or schedule.every or schedule.at or ""
    zone = f" {schedule.timezone}" if schedule.cron else ""
    return f"{entry.name:<24} {when + zone:<28} {coming(entry)}"


def happened(slot: Slot, schedule: Schedule) -> str:
    """Return one time of a schedule, and what became of it, as one line."""
    words = (clock(slot.fire, schedule), f"{slot.state:<8}", slot.job or slot.error)
    return "  ".join(words).rstrip()
