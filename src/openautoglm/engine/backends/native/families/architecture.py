"""What a decoder is, as data: sizes, positions, which parts a layer has and what they are called.

Owns `Architecture`. A family's file reads one from a model's config; nothing else knows families.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from openautoglm.engine.backends.native.families.rope import Rope
from openautoglm.errors import UnknownArchitectureError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK: Final = 16
"""Outputs of a block of packed weights."""
OTHERWISE: Final = 'use backend="transformers"'


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParts:
    """What the parts of a layer are called in the weights, behind the layer's own name.

    Attributes:
        gate_up: the gate and the value of the gated layer: two matrices, or one that holds both.
        norm_attention: before attention.
        norm_gated: before the gated layer.
        norm_after_attention: of what attention adds to the stream; empty where there is none.
        norm_after_gated: of what the gated layer adds; empty where there is none.
        norm_query: of each query head; empty where there is none.
        norm_key: of each key head; empty where there is none.
        is_qkv_biased: queries, keys and values have a bias.
        is_out_biased: the matrix behind attention has one.
        is_gated_biased: the matrices of the gated layer have one.
    """

    gate_up: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    norm_attention: str = "input_layernorm"
    norm_gated: str = "post_attention_layernorm"
    norm_after_attention: str = ""
    norm_after_gated: str = ""
    norm_query: str = ""
    norm_key: str = ""
    is_qkv_biased: bool = False
    is_out_biased: bool = False
    is_gated_biased: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A decoder of the usual kind: norm, attention, norm, gated layer, residuals around both.

    Attributes:
        layers: how many.
        hidden: width of the residual stream.
        heads: query heads.
        key_heads: key and value heads; a divisor of `heads`.
        head_width: width of a head.
        intermediate: width of the gated layer.
        vocabulary: rows of the embedding.
        context: most positions.
        eps: of every norm.
        rope: the angles of positions.
        rotary: how many values of a head are turned, from its first on; the others stay.
        is_interleaved: pairs are neighbours in the weights, not half of what is turned apart.
        windows: by layer: positions it looks back, itself included; 0 for all.
        is_tied: the head is the embedding.
        parts: what a layer has.
    """

    layers: int
    hidden: int
    heads: int
    key_heads: int
    head_width: int
    intermediate: int
    vocabulary: int
    context: int
    eps: float
    rotary: int
    windows: tuple[int, ...]
    rope: Rope = field(default_factory=Rope)
    is_interleaved: bool = False
    is_tied: bool = False
    parts: LayerParts = field(default_factory=LayerParts)

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.heads // self.key_heads

    @property
    def attended(self) -> int:
        """Width of what attention gives: all query heads."""
        return self.heads * self.head_width

    @property
    def keyed(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.key_heads * self.head_width

    def check(self) -> None:
        """Refuse sizes that the packed operators do not take.

        Raises:
            UnknownArchitectureError: the message names the number.
        """
        for problem, got in self._misfits():
            raise UnknownArchitectureError(
                f"the native backend cannot run a model whose {problem}", got=got, fix=OTHERWISE
            )

    def _misfits(self) -> Iterator[tuple[str, str]]:
        sizes = {
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_attention_heads x head_dim": self.attended,
            "(heads + 2 x key heads) x head_dim": self.attended + 2 * self.keyed,
        }
        if self.heads % self.key_heads:
            got = f"{self.heads} heads, {self.key_heads} key heads"
            yield "query heads are no multiple of its key heads", got
        for name, size in sizes.items():
            if size % BLOCK:
                yield f"{name} is no multiple of {BLOCK}", f"{name} = {size}"
        if self.head_width % 2 or self.rotary % 2:
            got = f"head_dim = {self.head_width}, of which {self.rotary} turn"
            yield "rotary values are no pairs", got
