"""Llama: the plain decoder; biases where the config says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.engine.backends.native.families.architecture import Architecture, LayerParts

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.families.config import Config


def read(config: Config) -> Architecture:
    """Read a Llama's config; errors as `Config.architecture`."""
    is_biased = config.flag("attention_bias")
    parts = LayerParts(
        is_qkv_biased=is_biased,
        is_out_biased=is_biased,
        is_gated_biased=config.flag("mlp_bias"),
    )
    return config.architecture(parts)
