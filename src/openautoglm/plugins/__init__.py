"""Plugins: made, proved, admitted, replaced while calls run.

`Manifest` is what a plugin says of itself. Nothing of a plugin is imported to find it, to list it
or to read its manifest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.plugins.manifest import API_VERSION, Limits, Manifest, Provides

__all__ = ["API_VERSION", "Limits", "Manifest", "Provides"]

_MODULES = dict.fromkeys(__all__, "manifest")


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'openautoglm.plugins' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
