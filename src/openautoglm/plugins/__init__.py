"""Plugins: made, proved, admitted, replaced while calls run.

`Manifest` is what a plugin says of itself, `pack` writes its wheel, `validate_plugin` proves it,
`Inventory` holds what is installed, `PluginHost` runs it. Nothing of a plugin is imported to find
it, to list it or to read its manifest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openautoglm.plugins.host import PluginHost
    from openautoglm.plugins.inventory.installed import Installed
    from openautoglm.plugins.inventory.inventory import Inventory
    from openautoglm.plugins.manifest import API_VERSION, Limits, Manifest, Provides
    from openautoglm.plugins.on_demand import refresh
    from openautoglm.plugins.packing.packing import pack
    from openautoglm.plugins.validation import ValidatePlugin, validate_plugin

__all__ = [
    "API_VERSION",
    "Installed",
    "Inventory",
    "Limits",
    "Manifest",
    "PluginHost",
    "Provides",
    "ValidatePlugin",
    "pack",
    "refresh",
    "validate_plugin",
]

_MODULES: Final = {
    "API_VERSION": "manifest",
    "Installed": "inventory.installed",
    "Inventory": "inventory.inventory",
    "Limits": "manifest",
    "Manifest": "manifest",
    "PluginHost": "host",
    "Provides": "manifest",
    "ValidatePlugin": "validation",
    "pack": "packing.packing",
    "refresh": "on_demand",
    "validate_plugin": "validation",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
