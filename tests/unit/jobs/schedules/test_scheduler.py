"""What fires when time passes, by every rule there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from openautoglm.errors import LedgerError
from openautoglm.jobs.schedules import Catchup, Schedule, Scheduler, Schedules
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.testing.paper_launcher import PaperLauncher

    from .conftest import Clock

JOB = JobSpec(source="/data/a.jsonl", sink="/data/out/", template="{text}")
OTHER = JobSpec(source="/data/b.jsonl", sink="/data/out/", template="{text}")
HOURLY = Schedule(name="h", job=JOB, cron="0 * * * *", overlap="allow")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def fired(schedules: Schedules, name: str = "h", state: str = "launched") -> list[str]:
    """Return the times in a state, the first one first."""
    slots = [slot for slot in schedules.history(name, 999) if slot.state == state]
    return [slot.fire.strftime("%d %H:%M") for slot in reversed(slots)]


def test_each_time_fires_once_and_its_job_has_an_id_that_says_which(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(HOURLY)
    live(hours=3, minutes=30)
    assert fired(schedules) == ["23 13:00", "23 14:00", "23 15:00"]
    assert list(launcher.jobs) == [f"h-20261123T1{hour}0000Z" for hour in (3, 4, 5)]
    assert list(launcher.jobs.values()) == [JOB, JOB, JOB]
    assert len(launcher.calls) == 3
    last = schedules.history("h", 1)[0]
    assert (last.job, last.fired) == ("h-20261123T150000Z", NOON.replace(hour=15))


def test_a_tick_returns_when_something_is_due_next(
    schedules: Schedules, scheduler: Scheduler, clock: Clock
) -> None:
    assert scheduler.tick() is None
    schedules.apply(HOURLY)
    schedules.apply(Schedule(name="once", job=JOB, at="2026-11-23T12:40"))
    assert scheduler.tick() == NOON.replace(minute=40)
    clock.now = NOON.replace(minute=40)
    assert scheduler.tick() == NOON.replace(hour=13)
    schedules.remove("h")
    assert scheduler.tick() is None


@pytest.mark.parametrize(
    ("catchup", "times", "missed"),
    [
        (Catchup(mode="none"), [], ["23 13:00"]),
        (Catchup(mode="latest"), ["23 17:00"], ["23 13:00"]),
        (Catchup(mode="latest", window_s=600), [], ["23 13:00"]),
        (Catchup(mode="all"), [f"23 {hour}:00" for hour in range(13, 18)], []),
        (Catchup(mode="all", max=2), ["23 16:00", "23 17:00"], ["23 13:00"]),
        (
            Catchup(mode="all", window_s=3 * 3600),
            ["23 15:00", "23 16:00", "23 17:00"],
            ["23 13:00"],
        ),
    ],
)
def test_times_that_passed_without_a_scheduler_are_caught_up_with_by_the_rule(
    schedules: Schedules,
    scheduler: Scheduler,
    clock: Clock,
    catchup: Catchup,
    times: list[str],
    missed: list[str],
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, catchup=catchup))
    clock.now = NOON.replace(hour=17, minute=30)
    scheduler.tick()
    scheduler.tick()
    assert fired(schedules) == times
    assert fired(schedules, state="missed") == missed


def test_a_time_is_left_out_while_an_earlier_job_is_not_done(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, overlap="skip"))
    live(hours=2)
    assert fired(schedules, state="skipped") == ["23 14:00"]
    assert schedules.history("h", 1)[0].error == "h-20261123T130000Z was not done"
    launcher.end()
    live(hours=1)
    assert list(launcher.jobs) == ["h-20261123T130000Z", "h-20261123T150000Z"]
    assert fired(schedules, state="ended") == ["23 13:00"]


def test_a_time_waits_in_a_queue_while_an_earlier_job_is_not_done(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, overlap="queue", catchup=Catchup(max=2)))
    live(hours=4)
    assert fired(schedules, state="waiting") == ["23 14:00", "23 15:00"]
    assert fired(schedules, state="skipped") == ["23 16:00"]
    for expected in (2, 3, 3):
        launcher.end()
        live(minutes=2)
        assert len(launcher.jobs) == expected


def test_an_earlier_job_is_cancelled_and_the_latest_time_fires_when_it_has_ended(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, overlap="cancel"))
    live(hours=3)
    assert set(launcher.cancelled) == {"h-20261123T130000Z"}
    assert fired(schedules, state="skipped") == ["23 14:00"]
    launcher.end("cancelled")
    live(minutes=1)
    assert list(launcher.jobs) == ["h-20261123T130000Z", "h-20261123T150000Z"]


def test_an_edit_fires_nothing_that_was_before_it(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(HOURLY)
    live(hours=1, minutes=30)
    catchup = Catchup(mode="all")
    half = Schedule(name="h", job=OTHER, cron="15,45 * * * *", catchup=catchup, overlap="allow")
    assert schedules.apply(half)
    live(minutes=20)
    assert fired(schedules) == ["23 13:00", "23 13:45"]
    assert list(launcher.jobs.values()) == [JOB, OTHER]


def test_an_edit_drops_what_waited_for_its_turn(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, overlap="queue"))
    live(hours=2)
    schedules.apply(msgspec.structs.replace(HOURLY, overlap="queue", job=OTHER))
    launcher.end()
    live(minutes=30)
    assert list(launcher.jobs) == ["h-20261123T130000Z"]
    assert schedules.history("h", 1)[0].error == "the schedule was changed before its turn"


def test_what_was_paused_or_disabled_fires_nothing_of_that_time_afterwards(
    schedules: Schedules, live: Callable[..., None]
) -> None:
    everything = msgspec.structs.replace(HOURLY, catchup=Catchup(mode="all"))
    schedules.apply(everything)
    schedules.pause("h")
    live(hours=2, minutes=30)
    schedules.resume("h")
    live(hours=1)
    schedules.apply(msgspec.structs.replace(everything, enabled=False))
    live(hours=2)
    schedules.apply(everything)
    live(hours=1)
    assert fired(schedules) == ["23 15:00", "23 18:00"]
    assert fired(schedules, state="missed") == []


def test_a_trigger_launches_at_once_even_if_the_schedule_is_paused_or_busy(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, overlap="skip"))
    live(hours=1)
    schedules.pause("h")
    slot = schedules.trigger("h")
    live(minutes=1)
    assert list(launcher.jobs) == ["h-20261123T130000Z", "h-20261123T130000.000001Z"]
    assert schedules.history("h", 1)[0] == msgspec.structs.replace(
        slot,
        state="launched",
        job="h-20261123T130000.000001Z",
        fired=NOON.replace(hour=13, minute=1),
    )


def test_a_trigger_leaves_the_schedules_own_time_alone(
    schedules: Schedules, clock: Clock, scheduler: Scheduler
) -> None:
    schedules.apply(HOURLY)
    clock.now = NOON.replace(hour=13)
    schedules.trigger("h")
    scheduler.tick()
    assert [slot.kind for slot in schedules.history("h")] == ["manual", "time"]
    assert fired(schedules) == ["23 13:00", "23 13:00"]


def test_jitter_puts_each_time_off_by_less_than_it_says_and_always_by_the_same(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, jitter_s=600))
    live(hours=6, minutes=30, step=timedelta(seconds=15))
    slots = schedules.history("h")
    assert [slot.fire.hour for slot in reversed(slots)] == [13, 14, 15, 16, 17, 18]
    put_off = [(slot.due - slot.fire).total_seconds() for slot in slots]
    assert all(0 < seconds < 600 for seconds in put_off)
    assert len(set(put_off)) == 6
    late = [(slot.fired - slot.due).total_seconds() for slot in slots if slot.fired]
    assert all(0 <= seconds < 15 for seconds in late)
    assert [slot.due for slot in slots if slot.fire.hour == 13] == [
        NOON.replace(hour=13, minute=4, second=0, microsecond=573684)
    ]
    assert len(launcher.calls) == 6


def test_a_time_that_was_put_off_is_left_out_once_it_is_older_than_the_window(
    schedules: Schedules, launcher: PaperLauncher, clock: Clock, scheduler: Scheduler
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, cron="@daily", jitter_s=600))
    clock.now = NOON.replace(day=24, hour=0)
    scheduler.tick()
    clock.now += timedelta(days=1, hours=12)
    scheduler.tick()
    assert fired(schedules, state="skipped") == ["24 00:00"]
    assert list(launcher.jobs) == ["h-20261125T000000Z"]


def test_a_clock_that_goes_back_fires_nothing_twice_and_goes_on(
    schedules: Schedules, launcher: PaperLauncher, clock: Clock, live: Callable[..., None]
) -> None:
    schedules.apply(HOURLY)
    live(hours=2, minutes=1)
    for back in (timedelta(seconds=90), timedelta(hours=1, minutes=30)):
        clock.now -= back
        live(minutes=100)
    assert fired(schedules) == [f"23 {hour}:00" for hour in (13, 14, 15)]
    live(hours=2)
    assert len(launcher.calls) == len(fired(schedules)) == 5


def test_a_clock_that_was_years_ahead_for_a_moment_does_not_stop_a_schedule(
    schedules: Schedules, clock: Clock, live: Callable[..., None]
) -> None:
    schedules.apply(HOURLY)
    live(minutes=30)
    clock.now += timedelta(days=900)
    live(minutes=1)
    schedules.pause("h")
    schedules.resume("h")
    clock.now -= timedelta(days=900)
    live(hours=2)
    slots = [slot for slot in schedules.history("h") if slot.state == "launched"]
    assert [slot.fire.year for slot in slots] == [2029, 2026, 2026]
    assert fired(schedules)[:2] == ["23 13:00", "23 14:00"]


def test_nothing_fires_after_the_end(schedules: Schedules, live: Callable[..., None]) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, end="2026-11-23T14:00"))
    live(hours=5)
    assert fired(schedules) == ["23 13:00", "23 14:00"]


def test_a_single_moment_fires_once_also_late(
    schedules: Schedules, scheduler: Scheduler, clock: Clock
) -> None:
    schedules.apply(Schedule(name="h", job=JOB, at="2026-11-23T15:00"))
    clock.now = NOON.replace(hour=20)
    for _ in range(3):
        scheduler.tick()
        clock.now += timedelta(days=1)
    assert fired(schedules) == ["23 15:00"]


def test_a_backfill_fires_in_order_what_has_no_job(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, overlap="skip"))
    live(hours=1)
    begin, end = NOON - timedelta(hours=2), NOON.replace(hour=13)
    assert schedules.backfill("h", begin, end) == 3
    assert schedules.backfill("h", begin, end) == 0
    for jobs in (1, 2, 3, 4, 4):
        live(minutes=1)
        assert len(launcher.jobs) == jobs
        launcher.end()
    assert [job[-8:-3] for job in launcher.jobs] == ["T1300", "T1000", "T1100", "T1200"]


def test_a_job_that_cannot_be_launched_fails_its_slot_alone_and_a_backfill_tries_it_again(
    schedules: Schedules, launcher: PaperLauncher, clock: Clock, live: Callable[..., None]
) -> None:
    def refuse(job: str) -> None:
        if job.startswith("h-20261123T13"):
            raise ValueError("there is no such model")

    schedules.apply(HOURLY)
    schedules.apply(msgspec.structs.replace(HOURLY, name="other"))
    launcher.before = refuse
    live(hours=2)
    assert fired(schedules) == ["23 14:00"]
    assert fired(schedules, "other") == ["23 13:00", "23 14:00"]
    (failed,) = [slot for slot in schedules.history("h") if slot.state == "failed"]
    assert failed.error == "ValueError: there is no such model"
    launcher.before = len
    assert schedules.backfill("h", NOON, clock.now) == 2
    live(minutes=1)
    assert fired(schedules) == ["23 12:00", "23 13:00", "23 14:00"]


def test_a_launch_that_failed_for_want_of_the_ledger_is_done_later(
    schedules: Schedules, scheduler: Scheduler, launcher: PaperLauncher, clock: Clock
) -> None:
    def away(job: str) -> None:
        raise LedgerError("the ledger is away", got=job)

    schedules.apply(HOURLY)
    launcher.before = away
    clock.now = NOON.replace(hour=13)
    with pytest.raises(LedgerError):
        scheduler.tick()
    launcher.before = len
    clock.now += timedelta(minutes=30)
    scheduler.tick()
    assert fired(schedules) == ["23 13:00"]
    assert list(launcher.jobs) == ["h-20261123T130000Z"]


def test_trouble_with_one_schedule_is_no_other_ones(
    schedules: Schedules, launcher: PaperLauncher, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, name="a", timezone="Asia/Tokyo"))
    schedules.apply(HOURLY)
    sql = "update oag_schedule set spec = replace(spec, 'Asia/Tokyo', 'Asia/Nowhere')"
    schedules.database.write(lambda session: session.change(sql))
    live(hours=1)
    assert list(launcher.jobs) == ["h-20261123T130000Z"]
    schedules.apply(msgspec.structs.replace(HOURLY, name="a"))
    live(hours=1)
    assert fired(schedules, "a") == ["23 14:00"]


def test_slots_are_forgotten_after_ninety_days(
    schedules: Schedules, launcher: PaperLauncher, clock: Clock, live: Callable[..., None]
) -> None:
    schedules.apply(msgspec.structs.replace(HOURLY, cron="@daily"))
    live(days=95, step=timedelta(days=1))
    assert len(launcher.jobs) == 95
    oldest = schedules.history("h", 999)[-1].fire
    assert timedelta(days=89) < clock.now - oldest <= timedelta(days=91)
