"""A plugin at work: worker processes, their supervision and what confines them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.plugins.host.health import Health, WorkerHealth
    from openautoglm.plugins.host.plugin_host import PluginHost
    from openautoglm.plugins.host.restarts import Supervision
    from openautoglm.plugins.host.running import RunningPlugin

__all__ = ["Health", "PluginHost", "RunningPlugin", "Supervision", "WorkerHealth"]

_MODULES = {
    "Health": "health",
    "PluginHost": "plugin_host",
    "RunningPlugin": "running",
    "Supervision": "restarts",
    "WorkerHealth": "health",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
