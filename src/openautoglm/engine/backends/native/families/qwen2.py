"""Qwen2 and Qwen2.5: biases of queries, keys and values; a sliding window in some layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.engine.backends.native.families.architecture import Architecture, LayerParts

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.families.config import Config


def read(config: Config) -> Architecture:
    """Read a Qwen2's config; errors as `Config.architecture`."""
    return config.architecture(LayerParts(is_qkv_biased=True))
