"""Work at set times: `Schedule` says when, `Schedules` remembers, `Scheduler` fires each slot once.

Cron in any time zone, a fixed grid, or one moment. Knows nothing of how a job runs: what starts one
is handed in.
"""

from __future__ import annotations

from openautoglm.jobs.schedules.launcher import Launcher
from openautoglm.jobs.schedules.schedule import Catchup, Overlap, Schedule
from openautoglm.jobs.schedules.scheduler import Scheduler
from openautoglm.jobs.schedules.schedules import Schedules
from openautoglm.jobs.schedules.slot import Entry, Slot

__all__ = ["Catchup", "Entry", "Launcher", "Overlap", "Schedule", "Scheduler", "Schedules", "Slot"]
