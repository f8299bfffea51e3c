"""What the bus and the log are told."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from openautoglm import bus as module
from openautoglm.bus import Bus, Message
from openautoglm.bus.events import SCHEDULE_SLOT
from openautoglm.jobs.schedules import Slot
from openautoglm.jobs.schedules.news import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LAUNCHED = Slot(schedule="s", fire=NOON, due=NOON, state="launched", job="s-1")


@pytest.fixture
def bus() -> Iterator[Bus]:
    """The bus of this process, while a test runs."""
    with Bus() as made:
        before = module.use(made)
        yield made
        module.use(before or Bus())


def test_the_bus_is_told_what_became_of_a_slot(bus: Bus) -> None:
    heard: list[Message] = []
    bus.subscribe(SCHEDULE_SLOT, heard.append, inline=True)
    tell(LAUNCHED)
    assert heard[0].payload == {
        "schedule": "s",
        "fire": "2026-11-23T12:00:00.000000Z",
        "kind": "time",
        "state": "launched",
        "job": "s-1",
        "error": "",
    }


def test_a_bus_that_is_closed_hinders_nothing(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    bus.close()
    with caplog.at_level(logging.INFO, "openautoglm.schedules"):
        tell(LAUNCHED)
    assert caplog.messages == ["s 2026-11-23T12:00:00.000000Z: launched, s-1"]
