"""The models that are measured: four shapes, and where they lie.

Owns `Shape`, `SHAPES` and the folder. Imports nothing but Python's own, so that any method's
interpreter can read it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
NANO: Final = ROOT / "src/openautoglm/engine/weights/nano"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A decoder without its weights.

    Attributes:
        family: `model_type` of the config.
        hidden: width of the residual stream.
        layers: how many.
        heads: of queries, 64 wide.
        key_heads: of keys and values.
        inner: width of the gated layer.
        vocabulary: rows of the embedding.
        is_tied: the head is the embedding.
        theta: base of the rotary angles.
        is_biased: queries, keys and values have biases.
    """

    family: str
    hidden: int
    layers: int
    heads: int
    key_heads: int
    inner: int
    vocabulary: int
    is_tied: bool
    theta: float = 10_000.0
    is_biased: bool = False

    @property
    def step_weights(self) -> int:
        """Weights of the matrices that every step reads, the head among them."""
        keys = 64 * self.key_heads
        layer = 2 * self.hidden * (64 * self.heads + keys) + 3 * self.hidden * self.inner
        return self.layers * layer + self.hidden * self.vocabulary

    @property
    def step_outputs(self) -> int:
        """Outputs of those matrices: int8 keeps a scale for each."""
        keys = 64 * self.key_heads
        layer = 64 * self.heads + 2 * keys + 2 * self.inner + 2 * self.hidden
        return self.layers * layer + self.vocabulary


SHAPES: Final[dict[str, Shape]] = {
    "20m": Shape(
        family="llama",
        hidden=384,
        layers=8,
        heads=6,
        key_heads=2,
        inner=1024,
        vocabulary=8192,
        is_tied=False,
    ),
    "150m": Shape(
        family="llama",
        hidden=768,
        layers=16,
        heads=12,
        key_heads=4,
        inner=2048,
        vocabulary=32_000,
        is_tied=False,
    ),
    "0.5b": Shape(  # Qwen2.5-0.5B's
        family="qwen2",
        hidden=896,
        layers=24,
        heads=14,
        key_heads=2,
        inner=4864,
        vocabulary=151_936,
        is_tied=True,
        theta=1e6,
        is_biased=True,
    ),
}
MODELS: Final = ("nano", *SHAPES)


def cache() -> Path:
    """Return the folder of models and peers, outside the repository."""
    given = os.environ.get("OAG_BENCHMARK_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "openautoglm-benchmarks"


def folder_of(model: str) -> Path:
    """Return where a model lies once it is made."""
    return cache() / "models" / model
