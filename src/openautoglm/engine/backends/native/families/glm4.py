"""GLM-4 of 2025: as GLM, with a norm behind attention and behind the gated layer too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.engine.backends.native.families.architecture import Architecture, LayerParts
from openautoglm.engine.backends.native.families.glm import EPS, GATE_UP, HEAD_WIDTH, ROTARY

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.families.config import Config


def read(config: Config) -> Architecture:
    """Read a GLM-4's config; errors as `Config.architecture`."""
    parts = LayerParts(
        gate_up=GATE_UP,
        norm_after_attention="post_self_attn_layernorm",
        norm_after_gated="post_mlp_layernorm",
        is_qkv_biased=config.flag("attention_bias", default=True),
    )
    return config.architecture(parts, head_width=HEAD_WIDTH, rotary=ROTARY, eps=EPS)
