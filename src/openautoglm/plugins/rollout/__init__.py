"""A version of a plugin put in the place of another while calls run.

The new one is staged beside the old, judged on a part of the calls, promoted or rolled back. Knows
nothing of how plugins run: hosts and versions are protocols here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.plugins.rollout.calls import request_id
    from openautoglm.plugins.rollout.outcome import RolloutReport
    from openautoglm.plugins.rollout.plan import AT_ONCE, Canary
    from openautoglm.plugins.rollout.rollouts import Rollouts, replace
    from openautoglm.plugins.rollout.step import Progress

__all__ = ["AT_ONCE", "Canary", "Progress", "RolloutReport", "Rollouts", "replace", "request_id"]

_MODULES = {
    "AT_ONCE": "plan",
    "Canary": "plan",
    "Progress": "step",
    "RolloutReport": "outcome",
    "Rollouts": "rollouts",
    "replace": "rollouts",
    "request_id": "calls",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
