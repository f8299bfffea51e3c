from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from openautoglm.errors import JobNotFoundError, LedgerError, ScheduleError
from openautoglm.jobs.schedules import Schedule, Schedules
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Clock

DATABASES = ("sqlite", "postgresql")
JOB = JobSpec(source="/data/a.jsonl", sink="/data/out/", template="{text}")
DAILY = Schedule(name="daily", job=JOB, cron="0 9 * * *", timezone="Europe/Berlin")


def test_the_job_of_a_schedule_is_kept_as_it_was_when_it_was_applied(
    schedules: Schedules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ask.txt").write_text("What is {text}?\n")
    monkeypatch.chdir(tmp_path)
    job = JobSpec(source="a.jsonl", sink="out/", template="ask.txt")
    schedules.apply(Schedule(name="s", job=job, every="1h"))
    (tmp_path / "ask.txt").write_text("Something else about {text}?")
    kept = schedules.get("s").schedule.job
    assert kept is not None
    assert kept.template == "What is {text}?"
    assert (kept.source, kept.sink) == (f"{tmp_path}/a.jsonl", f"{tmp_path}/out/")


def test_a_schedule_is_there_when_it_was_applied_and_gone_when_it_was_removed(
    schedules: Schedules,
) -> None:
    hourly = Schedule(name="b-hourly", job=JOB, every="1h")
    assert schedules.apply(hourly)
    assert schedules.apply(DAILY)
    assert [entry.name for entry in schedules.list()] == ["b-hourly", "daily"]
    assert schedules.get("daily").schedule == DAILY
    schedules.remove("daily")
    assert [entry.schedule for entry in schedules.list()] == [hourly]


def test_an_unchanged_one_changes_nothing_when_it_is_applied_again(
    schedules: Schedules, clock: Clock
) -> None:
    assert schedules.apply(DAILY)
    before = schedules.get("daily")
    clock.now += timedelta(days=1)
    assert not schedules.apply(DAILY)
    assert schedules.get("daily") == before


def test_a_change_counts_from_now_and_keeps_the_creation(
    schedules: Schedules, clock: Clock
) -> None:
    schedules.apply(DAILY)
    created = clock.now
    clock.now += timedelta(days=1)
    assert schedules.apply(msgspec.structs.replace(DAILY, cron="0 10 * * *"))
    entry = schedules.get("daily")
    assert (entry.created, entry.enabled_at, entry.seen) == (created, clock.now, clock.now)
    assert entry.schedule.cron == "0 10 * * *"


def test_a_paused_one_stays_paused_when_it_is_applied_again(schedules: Schedules) -> None:
    schedules.apply(DAILY)
    assert schedules.pause("daily")
    assert not schedules.pause("daily")
    assert not schedules.apply(DAILY)
    assert schedules.apply(msgspec.structs.replace(DAILY, overlap="queue"))
    entry = schedules.get("daily")
    assert (entry.is_paused, entry.is_on) == (True, False)
    assert schedules.resume("daily")
    assert not schedules.resume("daily")
    assert schedules.get("daily").is_on


def test_times_to_come_are_counted_from_the_creation(schedules: Schedules, clock: Clock) -> None:
    schedules.apply(Schedule(name="s", job=JOB, every="40m"))
    created = clock.now
    entry = schedules.get("s")
    assert entry.next(2, after=created + timedelta(hours=1)) == [
        created + timedelta(minutes=80),
        created + timedelta(minutes=120),
    ]


def test_an_unknown_name_is_an_error_that_proposes_the_nearest(schedules: Schedules) -> None:
    schedules.apply(DAILY)
    for ask in (schedules.get, schedules.remove, schedules.pause, schedules.resume):
        with pytest.raises(JobNotFoundError, match="did you mean `daily`"):
            ask("dayly")
    with pytest.raises(JobNotFoundError, match="did you mean `daily`"):
        schedules.trigger("dayly")
    with pytest.raises(JobNotFoundError, match="did you mean `daily`"):
        schedules.history("dayly")


def test_a_schedule_without_a_job_is_not_applied(schedules: Schedules) -> None:
    with pytest.raises(ScheduleError, match="job: there is nothing to run"):
        schedules.apply(Schedule(name="s", cron="@daily"))


def test_a_trigger_is_a_slot_of_its_own_also_twice_in_one_moment(schedules: Schedules) -> None:
    schedules.apply(DAILY)
    first, second = schedules.trigger("daily"), schedules.trigger("daily")
    assert first.fire < second.fire
    assert [slot.kind for slot in schedules.history("daily")] == ["manual", "manual"]


@pytest.mark.parametrize(
    ("start_h", "end_h", "problem"),
    [(-1, -2, "the end is before the start"), (-1, 1, "a backfill is of times that are past")],
)
def test_a_backfill_is_of_the_past(
    schedules: Schedules, clock: Clock, start_h: int, end_h: int, problem: str
) -> None:
    schedules.apply(DAILY)
    ends = (clock.now + timedelta(hours=start_h), clock.now + timedelta(hours=end_h))
    with pytest.raises(ScheduleError, match=problem):
        schedules.backfill("daily", *ends)


def test_a_backfill_needs_zones_and_has_an_end(schedules: Schedules, clock: Clock) -> None:
    schedules.apply(Schedule(name="s", job=JOB, every="1s", start="2026-11-01"))
    naive = datetime(2026, 11, 1)  # noqa: DTZ001 - on purpose
    with pytest.raises(ScheduleError, match="moments need a time zone"):
        schedules.backfill("s", naive, naive)
    with pytest.raises(ScheduleError, match="10000 times at most"):
        schedules.backfill("s", clock.now - timedelta(days=1), clock.now)
    assert schedules.history("s") == []


def test_a_schedule_that_cannot_be_read_any_more_says_why_and_can_be_applied_anew(
    schedules: Schedules,
) -> None:
    schedules.apply(DAILY)
    sql = "update oag_schedule set spec = replace(spec, 'Europe/Berlin', 'Mars/Olympus')"
    schedules.database.write(lambda session: session.change(sql))
    with pytest.raises(ScheduleError, match="`Mars/Olympus` is no time zone"):
        schedules.get("daily")
    assert schedules.apply(DAILY)
    assert schedules.get("daily").schedule == DAILY


def test_a_file_of_something_else_is_no_database_of_schedules(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("no database, and long enough for SQLite to see that\n" * 99)
    with pytest.raises(LedgerError):
        Schedules(f"sqlite:///{other}")


def test_the_clock_of_the_machine_is_the_one_that_counts_unless_another_is_given(
    url: str,
) -> None:
    with Schedules(url) as opened:
        opened.apply(DAILY)
        age = datetime.now(UTC) - opened.get("daily").created
    assert timedelta(0) <= age < timedelta(minutes=1)
