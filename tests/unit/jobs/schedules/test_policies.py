"""Any schedule and rule against a list of all its times, and what holds whatever happens."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.jobs.schedules import Catchup, Overlap, Schedule, Scheduler, Schedules
from openautoglm.jobs.schedules.due import SKEW
from openautoglm.jobs.schedules.zones import zone_of
from openautoglm.jobs.spec import JobSpec
from openautoglm.testing.clock_walk import walk
from openautoglm.testing.paper_launcher import PaperLauncher

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.schedules.schedule import CatchupMode

JOB = JobSpec(source="/data/a.jsonl", sink="/data/out/", template="{text}")
OTHER = JobSpec(source="/data/b.jsonl", sink="/data/out/", template="{text}")
ON_TIME_S = 60


@dataclass(frozen=True)
class Pattern:
    cron: str
    matches: Callable[[datetime], bool]
    takes_every_hour: bool = False


PATTERNS = (
    Pattern("30 2 * * *", lambda at: (at.hour, at.minute) == (2, 30)),
    Pattern("*/30 1-3 * * *", lambda at: at.hour in {1, 2, 3} and at.minute % 30 == 0),
    Pattern("0 0 * * sun", lambda at: (at.hour, at.minute, at.isoweekday()) == (0, 0, 7)),
    Pattern("*/20 * * * *", lambda at: at.minute % 20 == 0, takes_every_hour=True),
)
CHANGES = (
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2026, 10, 24, 21, tzinfo=UTC)),
)


@settings(max_examples=20, deadline=None)
@given(
    pattern=st.sampled_from(PATTERNS),
    change=st.sampled_from(CHANGES),
    mode=st.sampled_from(["none", "latest", "all"]),
    window_m=st.integers(1, 600),
    most=st.integers(1, 5),
    gaps_m=st.lists(st.one_of(st.integers(1, 10), st.integers(1, 900)), min_size=1, max_size=12),
)
def test_what_fires_is_what_the_rule_takes_of_the_list_of_all_times(
    pattern: Pattern,
    change: tuple[str, datetime],
    mode: CatchupMode,
    window_m: int,
    most: int,
    gaps_m: list[int],
) -> None:
    zone, changed = change
    now = start = changed - timedelta(hours=20)
    end = start + timedelta(minutes=sum(gaps_m))
    every_hour = pattern.takes_every_hour
    times = list(
        walk(zone_of(zone), start, end, matches=pattern.matches, takes_every_hour=every_hour)
    )
    schedule = Schedule(
        name="s",
        job=JOB,
        cron=pattern.cron,
        timezone=zone,
        overlap="allow",
        catchup=Catchup(mode=mode, window_s=window_m * 60, max=most),
    )
    expected: list[datetime] = []
    launcher = PaperLauncher()
    with (
        tempfile.TemporaryDirectory() as folder,
        Schedules(f"sqlite:///{folder}/s.db", clock=lambda: start) as schedules,
    ):
        schedules.apply(schedule)
        for gap_m in gaps_m:
            before, now = now, now + timedelta(minutes=gap_m)
            Scheduler(schedules, launcher).tick(now)
            window_s = ON_TIME_S if mode == "none" else window_m * 60
            fresh = [
                t for t in times if before < t <= now and (now - t).total_seconds() <= window_s
            ]
            expected += fresh[-(most if mode == "all" else 1) :]
        slots = schedules.history("s", 10_000)
    assert [slot.fire for slot in reversed(slots) if slot.state == "launched"] == expected
    assert len(launcher.calls) == len(expected)


Act = Literal["pass", "long", "back", "end", "pause", "resume", "edit", "trigger", "restart"]


@dataclass
class World:
    """A schedule of five minutes and all that may happen to it."""

    schedules: Schedules
    now: datetime
    overlap: Overlap

    def __post_init__(self) -> None:
        self.launcher = PaperLauncher()
        self.scheduler = Scheduler(self.schedules, self.launcher)
        self.schedule = Schedule(
            name="s", job=JOB, cron="*/5 * * * *", overlap=self.overlap, jitter_s=100
        )
        self.enabled_at = self.now

    def act(self, act: Act) -> None:
        acts: dict[Act, Callable[[], object]] = {
            "pass": lambda: self.move(1),
            "long": lambda: self.move(17),
            "back": lambda: self.move(-21),
            "end": self.launcher.end,
            "pause": lambda: self.schedules.pause("s"),
            "resume": self.resume,
            "edit": self.edit,
            "trigger": lambda: self.schedules.trigger("s"),
            "restart": self.restart,
        }
        acts[act]()

    def move(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        if self.enabled_at > self.now + SKEW:
            self.enabled_at = self.now

    def resume(self) -> None:
        if self.schedules.resume("s"):
            self.enabled_at = self.now

    def edit(self) -> None:
        job = OTHER if self.schedule.job == JOB else JOB
        self.schedule = msgspec.structs.replace(self.schedule, job=job)
        self.schedules.apply(self.schedule)
        self.enabled_at = self.now

    def restart(self) -> None:
        self.scheduler = Scheduler(self.schedules, self.launcher)


@settings(max_examples=25, deadline=None)
@given(
    overlap=st.sampled_from(["skip", "queue", "cancel", "allow"]),
    acts=st.lists(
        st.sampled_from(
            [
                "pass",
                "pass",
                "pass",
                "long",
                "back",
                "end",
                "pause",
                "resume",
                "edit",
                "trigger",
                "restart",
            ]
        ),
        min_size=5,
        max_size=40,
    ),
)
def test_whatever_happens_no_slot_fires_twice_or_too_early_and_jobs_overlap_as_allowed(
    overlap: Overlap, acts: list[Act]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/s.db"
        world: World
        with Schedules(url, clock=lambda: world.now) as schedules:
            world = World(schedules, datetime(2026, 11, 23, 12, tzinfo=UTC), overlap)
            schedules.apply(world.schedule)
            for act in acts:
                world.act(act)
                is_paused = schedules.get("s").is_paused
                before = set(world.launcher.jobs)
                world.scheduler.tick()
                check(world, before, is_paused=is_paused)


def check(world: World, before: set[str], *, is_paused: bool) -> None:
    calls = world.launcher.calls
    assert len(calls) == len(set(calls))
    slots = {slot.job: slot for slot in world.schedules.history("s", 999) if slot.job}
    assert set(slots) >= set(world.launcher.jobs)
    new = [slots[job] for job in world.launcher.jobs if job not in before]
    own = [slot for slot in new if slot.kind == "time"]
    assert all(slot.due <= world.now for slot in new)
    assert all(slot.fire > world.enabled_at for slot in own)
    assert not (own and is_paused)
    assert all(world.launcher.jobs[slot.job or ""] == world.schedule.job for slot in new)
    running = [slots[job] for job, state in world.launcher.states.items() if state == "running"]
    if world.overlap != "allow":
        assert sum(slot.kind == "time" for slot in running) <= 1
