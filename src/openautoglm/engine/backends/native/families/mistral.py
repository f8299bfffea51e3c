"""Mistral: as Llama; where a sliding window is given, every layer has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.engine.backends.native.families.architecture import LayerParts
from openautoglm.engine.backends.native.families.config import Config

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.families.architecture import Architecture

WHOLE_LAYERS: Final = 0
"""How many layers look back at everything where there is a window."""


def read(config: Config) -> Architecture:
    """Read a Mistral's config; errors as `Config.architecture`."""
    is_windowed = config.values.get("sliding_window") is not None
    window = {"use_sliding_window": is_windowed, "max_window_layers": WHOLE_LAYERS}
    return Config({**config.values, **window}).architecture(LayerParts())
