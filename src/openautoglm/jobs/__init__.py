"""Rows by the million and work at set times: batches that survive kill -9, and schedules.

`BatchJob` describes a batch, `Run` follows one, `Schedule` says when; the ledger remembers. Knows
nothing of how a model answers. Names resolve lazily: workers import what they need and no more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.jobs.batch_job import BatchJob
    from openautoglm.jobs.progress import Progress
    from openautoglm.jobs.run import Run
    from openautoglm.jobs.spec import Budget, JobSpec, Rate

_HOMES = {
    "BatchJob": "openautoglm.jobs.batch_job",
    "Budget": "openautoglm.jobs.spec",
    "JobSpec": "openautoglm.jobs.spec",
    "Progress": "openautoglm.jobs.progress",
    "Rate": "openautoglm.jobs.spec",
    "Run": "openautoglm.jobs.run",
}

__all__ = ["BatchJob", "Budget", "JobSpec", "Progress", "Rate", "Run"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'openautoglm.jobs' has no attribute {name!r}")
    return getattr(import_module(home), name)
