"""What the bus and the log are told of slots. Knows nothing of why."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from openautoglm.engine.news import is_anybody_there
from openautoglm.jobs.schedules.slot import stamp

if TYPE_CHECKING:
    from openautoglm.jobs.schedules.slot import Slot

LOG: Final = logging.getLogger("openautoglm.schedules")


def tell(slot: Slot) -> None:
    """Tell what became of a slot; raise nothing, since no schedule is to stop for it."""
    level = logging.WARNING if slot.error else logging.INFO
    detail = slot.error or slot.job or slot.kind
    LOG.log(level, "%s %s: %s, %s", slot.schedule, stamp(slot.fire), slot.state, detail)
    if not is_anybody_there():
        return
    from openautoglm.bus import events

    events.announce(
        lambda: events.ScheduleSlot(
            schedule=slot.schedule,
            fire=stamp(slot.fire),
            kind=slot.kind,
            state=slot.state,
            job=slot.job or "",
            error=slot.error,
        )
    )
