"""Qwen3: every query and key head has a norm of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.engine.backends.native.families.architecture import Architecture, LayerParts

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.families.config import Config

HEAD_WIDTH = 128
"""Where config.json does not say."""


def read(config: Config) -> Architecture:
    """Read a Qwen3's config; errors as `Config.architecture`."""
    is_biased = config.flag("attention_bias")
    parts = LayerParts(
        norm_query="self_attn.q_norm",
        norm_key="self_attn.k_norm",
        is_qkv_biased=is_biased,
        is_out_biased=is_biased,
    )
    return config.architecture(parts, head_width=HEAD_WIDTH)
