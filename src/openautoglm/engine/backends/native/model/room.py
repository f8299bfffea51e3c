"""How many tokens memory has room for, beside the weights.

Owns the arithmetic of keys and values. Knows a decoder's sizes; asks no machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import ModelTooLargeError

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.families.architecture import Architecture

PART: Final = 0.5  # of the memory that is free beside the weights
LEAST: Final = 512
"""Tokens: a context that is not worth loading a model for is shorter than this."""
STEP: Final = 16
"""Tokens that the cache has room for at once."""
MIB: Final = 2**20


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What may be in memory at once.

    Attributes:
        each_bytes: of the keys and values of one token.
        longest: tokens of the model's own context.
        weights_bytes: of the weights, converted.
        free_bytes: what the process may take for both.
    """

    each_bytes: int
    longest: int
    weights_bytes: int
    free_bytes: int

    @classmethod
    def of(cls, a: Architecture, *, value_bytes: int, weights_bytes: int, free_bytes: int) -> Room:
        """Return it for a decoder, with the bytes of one value of its keys."""
        return cls(
            each_bytes=2 * a.layers * a.key_heads * a.head_width * value_bytes,
            longest=a.context,
            weights_bytes=weights_bytes,
            free_bytes=free_bytes,
        )

    @property
    def is_enough(self) -> bool:
        """Whether there is room for a sequence that is worth it."""
        return self.tokens >= min(LEAST, self.longest)

    @property
    def tokens(self) -> int:
        """Tokens that the cache may hold in all."""
        return int(max(self.free_bytes - self.weights_bytes, 0) * PART) // self.each_bytes

    def context(self, asked: int, *, slots: int) -> int:
        """Return how long a sequence may be: what was asked, or else the longest there is room for.

        Args:
            asked: tokens; 0 for as many as possible.
            slots: how many sequences there may be at once; for the message.

        Raises:
            ModelTooLargeError: the weights and one such sequence do not fit.
        """
        longest = asked or min(self.longest, max(self.tokens // STEP * STEP, LEAST))
        if self.weights_bytes + longest * self.each_bytes <= self.free_bytes:
            return longest
        one = longest * self.each_bytes / MIB
        raise ModelTooLargeError(
            "weights and the keys and values of one sequence do not fit the memory that is free",
            got=f"weights {self.weights_bytes / MIB:,.0f} MiB, {longest:,} tokens {one:,.0f} MiB "
            f"({one * slots:,.0f} MiB if all {slots} slots are full), "
            f"{self.free_bytes / MIB:,.0f} MiB free",
            fix=f'pass a context below {longest}, mode="int8" or "int4" for smaller weights, '
            "or free memory",
        )
