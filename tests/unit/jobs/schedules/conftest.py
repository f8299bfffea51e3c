"""Schedules in an empty database, a clock that tests set, and a launcher that runs nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import pytest

from openautoglm.jobs.schedules import Scheduler, Schedules
from openautoglm.testing.paper_launcher import PaperLauncher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Clock(Protocol):
    """Shows what the test set it to."""

    now: datetime

    def __call__(self) -> datetime: ...


class SetClock:
    """A clock that stands at noon, Monday 2026-11-23, until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of everything here."""
    return SetClock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a module's tests on each of its `DATABASES`; on SQLite where it names none."""
    if "url" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "DATABASES", ("sqlite",))
        metafunc.parametrize("url", kinds, indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is to be."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'schedules.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def schedules(url: str, clock: Clock) -> Iterator[Schedules]:
    """An empty database of schedules."""
    with Schedules(url, clock=clock) as opened:
        yield opened


@pytest.fixture
def launcher() -> PaperLauncher:
    """What runs jobs, on paper."""
    return PaperLauncher()


@pytest.fixture
def scheduler(schedules: Schedules, launcher: PaperLauncher) -> Scheduler:
    """A scheduler whose leases are over at once, as if their holders had been dead for long."""
    return Scheduler(schedules, launcher, lease_s=0.0)


@pytest.fixture
def live(clock: Clock, scheduler: Scheduler) -> Callable[..., None]:
    """A function that lets so much time pass, with a tick after each step of it."""

    def pass_time(*, step: timedelta = timedelta(minutes=1), **length: float) -> None:
        end = clock.now + timedelta(**length)
        while clock.now < end:
            clock.now = min(clock.now + step, end)
            scheduler.tick()

    return pass_time
