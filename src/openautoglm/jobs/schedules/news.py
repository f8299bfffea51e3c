"""What the bus and the log are told of slots. Knows nothing of why."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final

from openautoglm.bus.words import told
from openautoglm.jobs.schedules.slot import stamp

if TYPE_CHECKING:
    from openautoglm.jobs.schedules.slot import Slot

SCHEDULE_SLOT: Final = "schedule.slot"
"""Type of the message: a slot changed. Its payload holds texts `schedule`, `fire`, `kind`, `state`,
`job` and `error`."""

LOG: Final = logging.getLogger("openautoglm.schedules")


def tell(slot: Slot) -> None:
    """Tell what became of a slot; raise nothing, since no schedule is to stop for it."""
    level = logging.WARNING if slot.error else logging.INFO
    detail = slot.error or slot.job or slot.kind
    LOG.log(level, "%s %s: %s, %s", slot.schedule, stamp(slot.fire), slot.state, detail)
    bus = sys.modules.get("openautoglm.bus")  # where nobody imported it, nobody can listen
    port = None if bus is None else bus.made()
    if port is None:
        return
    payload = {
        "schedule": slot.schedule,
        "fire": stamp(slot.fire),
        "kind": slot.kind,
        "state": slot.state,
        "job": slot.job or "",
        "error": slot.error,
    }
    try:
        port.emit(SCHEDULE_SLOT, payload=payload)
    except Exception as error:  # noqa: BLE001 - such as a bus that is closed
        LOG.debug("the bus did not take a slot: %s", told(error))
