"""The angles of rotary positions, with the scalings that families know.

Owns the arithmetic of Su et al., "RoFormer", 2021; Peng et al., "YaRN", 2023; Llama 3's scaling.
Which values of a head make a pair is the converter's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openautoglm.errors import ModelFolderError, UnknownArchitectureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Tables = tuple[Floats, Floats]

_YARN_FAST: Final = 32.0
_YARN_SLOW: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """How fast each pair turns.

    Attributes:
        theta: base of the angles.
        kind: which scaling: a key of `SCALINGS`.
        numbers: what the scaling takes, by the names of config.json.
        trained: the model's `max_position_embeddings`.
    """

    theta: float = 10000.0
    kind: str = "default"
    numbers: Mapping[str, object] = field(default_factory=dict)
    trained: int = 0

    def check(self) -> None:
        """Refuse a scaling that is not known, or lacks a number.

        Raises:
            UnknownArchitectureError: nobody here knows the scaling.
            ModelFolderError: config.json lacks one of its numbers.
        """
        if self.kind not in SCALINGS:
            raise UnknownArchitectureError(
                f"the native backend does not know the rope scaling `{self.kind}`",
                got=f"known: {', '.join(SCALINGS)}",
                fix='use backend="transformers"',
            )
        SCALINGS[self.kind](self, 4)

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number of the scaling; errors as `check`."""
        value = self.numbers.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
            raise ModelFolderError(
                f"the rope scaling `{self.kind}` in config.json needs a `{name}` above 0",
                got=repr(value),
                fix="copy config.json from where the model came from",
            )
        return float(value)

    def tables(self, rotary: int, head_width: int, positions: int) -> Tables:
        """Return cosines and sines by position, (positions, head_width / 2); the rest stays put."""
        speeds, factor = SCALINGS[self.kind](self, rotary)
        angles = np.arange(positions, dtype=np.float32)[:, None] * speeds.astype(np.float32)[None]
        cos = np.ones((positions, head_width // 2), np.float32)
        sin = np.zeros((positions, head_width // 2), np.float32)
        cos[:, : rotary // 2] = np.cos(angles) * np.float32(factor)
        sin[:, : rotary // 2] = np.sin(angles) * np.float32(factor)
        return cos, sin


def _plain(rope: Rope, rotary: int) -> tuple[Floats, float]:
    steps = np.arange(0, rotary, 2, dtype=np.float64) / rotary
    return np.asarray(1.0 / rope.theta**steps, np.float32), 1.0


def _linear(rope: Rope, rotary: int) -> tuple[Floats, float]:
    speeds, factor = _plain(rope, rotary)
    return speeds / np.float32(rope.number("factor")), factor


def _dynamic(rope: Rope, rotary: int) -> tuple[Floats, float]:
    """Turn as trained: it scales only beyond the trained context, which no slot is longer than."""
    rope.number("factor")
    return _plain(rope, rotary)


def _llama3(rope: Rope, rotary: int) -> tuple[Floats, float]:
    speeds, one = _plain(rope, rotary)
    factor, low, high = (
        rope.number(name) for name in ("factor", "low_freq_factor", "high_freq_factor")
    )
    trained = rope.number("original_max_position_embeddings", rope.trained or None)
    turns = trained * speeds / (2 * math.pi)  # within the context it was trained on
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    scaled = (1 - smooth) * speeds / factor + smooth * speeds
    return np.asarray(scaled, np.float32), one


def _yarn(rope: Rope, rotary: int) -> tuple[Floats, float]:
    trained = rope.number("original_max_position_embeddings", rope.trained or None)
    factor = rope.number("factor", (rope.trained / trained) or None)
    speeds, _ = _plain(rope, rotary)
    fast = rope.number("beta_fast", _YARN_FAST)
    slow = rope.number("beta_slow", _YARN_SLOW)
    low, high = (_dimension(rope, rotary, trained, turns) for turns in (fast, slow))
    if rope.numbers.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotary - 1)
    ramp = (np.arange(rotary // 2) - low) / (high - low if high != low else 0.001)
    slowed = np.clip(ramp, 0, 1)
    scaled = speeds / factor * slowed + speeds * (1 - slowed)
    return np.asarray(scaled, np.float32), _yarn_factor(rope, factor)


def _dimension(rope: Rope, rotary: int, trained: float, turns: float) -> float:
    """Return which pair turns so often within the trained context."""
    return rotary * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))


def _yarn_factor(rope: Rope, factor: float) -> float:
    if rope.numbers.get("attention_factor") is not None:
        return rope.number("attention_factor")
    if rope.numbers.get("mscale") and rope.numbers.get("mscale_all_dim"):
        over, under = (rope.number(name) for name in ("mscale", "mscale_all_dim"))
        return _magnitude(factor, over) / _magnitude(factor, under)
    return _magnitude(factor, 1.0)


def _magnitude(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


SCALINGS: Final[Mapping[str, Callable[[Rope, int], tuple[Floats, float]]]] = {
    "default": _plain,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
}
"""By the name of config.json: how fast each pair turns, and what scales cosines and sines."""
