"""Schedulers that share a database, and such as were killed in the middle."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from openautoglm.jobs.schedules import Catchup, Schedule, Scheduler, Schedules
from openautoglm.jobs.schedules.slots import Outrun, Slots
from openautoglm.jobs.spec import JobSpec
from openautoglm.testing.paper_launcher import PaperLauncher

if TYPE_CHECKING:
    from .conftest import Clock

DATABASES = ("sqlite", "postgresql")
JOB = JobSpec(source="/data/a.jsonl", sink="/data/out/", template="{text}")
HOURLY = Schedule(name="h", job=JOB, cron="0 * * * *", overlap="allow")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here."""


def die(_: str) -> None:
    raise Killed


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_launch_that_was_cut_off_is_finished_by_the_next_scheduler_as_one(
    schedules: Schedules, launcher: PaperLauncher, clock: Clock, where: str
) -> None:
    schedules.apply(HOURLY)
    clock.now = NOON.replace(hour=13)
    setattr(launcher, where, die)
    with pytest.raises(Killed):
        Scheduler(schedules, launcher, lease_s=0.0).tick()
    setattr(launcher, where, len)
    clock.now += timedelta(minutes=1)
    for _ in range(2):
        Scheduler(schedules, launcher).tick()
    assert launcher.calls == ["h-20261123T130000Z"] * 2
    assert list(launcher.jobs) == ["h-20261123T130000Z"]
    assert [slot.state for slot in schedules.history("h")] == ["launched"]


def test_what_was_cut_off_is_finished_with_the_job_as_it_was_also_after_an_edit_or_a_pause(
    schedules: Schedules, launcher: PaperLauncher, clock: Clock
) -> None:
    schedules.apply(HOURLY)
    clock.now = NOON.replace(hour=13)
    launcher.before = die
    with pytest.raises(Killed):
        Scheduler(schedules, launcher, lease_s=0.0).tick()
    launcher.before = len
    other = JobSpec(source="/data/b.jsonl", sink="/data/out/", template="{text}")
    schedules.apply(Schedule(name="h", job=other, cron="@daily"))
    schedules.pause("h")
    Scheduler(schedules, launcher).tick()
    assert launcher.jobs == {"h-20261123T130000Z": JOB}


def test_a_launch_that_another_scheduler_is_at_is_left_to_it(
    schedules: Schedules, launcher: PaperLauncher, clock: Clock
) -> None:
    other = PaperLauncher()
    schedules.apply(Schedule(name="h", job=JOB, cron="0 * * * *", overlap="skip"))
    clock.now = NOON.replace(hour=13)

    def meanwhile(_: str) -> None:
        clock.now = NOON.replace(hour=14)
        Scheduler(schedules, other).tick()

    launcher.before = meanwhile
    Scheduler(schedules, launcher).tick()
    assert other.calls == []
    Scheduler(schedules, launcher).tick()
    assert [slot.state for slot in schedules.history("h")] == ["skipped", "launched"]


def test_a_choice_that_was_made_on_what_has_changed_since_is_refused(
    schedules: Schedules,
) -> None:
    schedules.apply(HOURLY)
    slots = Slots(schedules.database)
    entry = slots.entry("h")
    schedules.trigger("h")
    with pytest.raises(Outrun):
        slots.plan(entry, entry, [])
    with pytest.raises(Outrun):
        slots.skip(entry, [])
    (opened,) = slots.open()["h"]
    with pytest.raises(Outrun):
        slots.claim(entry, opened.slot, job="j", spec="{}", lease_s=9.0)
    entry = slots.claim(slots.entry("h"), opened.slot, job="j", spec="{}", lease_s=9.0)
    with pytest.raises(Outrun):
        slots.claim(entry, opened.slot, job="j", spec="{}", lease_s=9.0)
    schedules.remove("h")
    with pytest.raises(Outrun):
        slots.entry("h")


@pytest.mark.slow
def test_schedulers_in_many_threads_fire_each_slot_once(url: str) -> None:
    begin = NOON - timedelta(minutes=40)
    now = [begin]
    launchers = [PaperLauncher() for _ in range(4)]
    with Schedules(url, clock=lambda: begin) as first:
        for name in ("a", "b", "c"):
            catchup = Catchup(mode="all")
            every = Schedule(name=name, job=JOB, every="1m", overlap="allow", catchup=catchup)
            first.apply(every)
        barrier = threading.Barrier(len(launchers) + 1)

        def live(launcher: PaperLauncher) -> None:
            with Schedules(url, clock=lambda: now[0]) as own:
                scheduler = Scheduler(own, launcher)
                barrier.wait()
                while now[0] < NOON:
                    scheduler.tick()

        threads = [threading.Thread(target=live, args=(launcher,)) for launcher in launchers]
        for thread in threads:
            thread.start()
        barrier.wait()
        with Schedules(url, clock=lambda: now[0]) as own:
            mine = Scheduler(own, launchers[0])
            for minute in range(1, 41):
                now[0] = begin + timedelta(minutes=minute)
                mine.tick()
        for thread in threads:
            thread.join()
        Scheduler(first, launchers[0]).tick(NOON)
        calls = [job for launcher in launchers for job in launcher.calls]
        assert len(calls) == len(set(calls)) == 3 * 40
        for name in ("a", "b", "c"):
            slots = first.history(name, 999)
            assert len(slots) == 40
            assert {slot.state for slot in slots} <= {"launched", "ended"}  # of another's job: None
