"""GLM: half of a head turns, neighbours in pairs; gate and value are one matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.engine.backends.native.families.architecture import Architecture, LayerParts

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.families.config import Config

GATE_UP: Final = ("mlp.gate_up_proj",)
HEAD_WIDTH: Final = 128
ROTARY: Final = 0.5
EPS: Final = 1.5625e-07


def read(config: Config) -> Architecture:
    """Read a GLM's config; errors as `Config.architecture`."""
    is_biased = config.flag("attention_bias", default=True)
    parts = LayerParts(gate_up=GATE_UP, is_qkv_biased=is_biased)
    return config.architecture(parts, head_width=HEAD_WIDTH, rotary=ROTARY, eps=EPS)
