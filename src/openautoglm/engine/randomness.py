"""Chance that can be told again: uniform numbers that follow from a seed, a row and a step.

Owns `Stream`, `uniforms` and `fresh_seed`. Knows nothing of tokens. A number depends on nothing
drawn before it, nor on what is drawn beside it, so a row's tokens do not depend on its batch, and a
row that was put aside goes on as if it had not been.

It is no source of secrets.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, final

from openautoglm.settings import need

if TYPE_CHECKING:
    import numpy as np

    Uniforms = np.ndarray[Any, np.dtype[np.float32]]

SEED_BITS: Final = 63
BLOCK: Final = 64
"""Steps that a stream draws at once."""
_WORDS: Final = 4
_UNUSED_BITS: Final = 40
_UNIT: Final = 2.0**-24


def fresh_seed() -> int:
    """Return a seed that nobody can guess, for a caller that gave none."""
    return secrets.randbits(SEED_BITS)


def uniforms(seed: int, row: int, first: int, count: int) -> Uniforms:
    """Return the numbers of steps `first` to `first + count` of a row: f32, in [0, 1).

    Philox with 4 words of 64 bits and 10 rounds (Salmon et al., "Parallel random numbers: as easy
    as 1, 2, 3", 2011): seed and row are the key, the step is the counter. The 24 highest bits of a
    word are the number.

    Args:
        seed: of the request, 0 or above.
        row: which of the answers to it, 0 or above.
        first: the first step, 0 or above.
        count: how many.

    Example:
        >>> float(uniforms(7, 0, 3, 1)[0]) == float(uniforms(7, 0, 0, 4)[3])
        True
    """
    numpy = need("numpy", extra="ops", why="sampling")
    begin, skipped = divmod(first, _WORDS)
    key = numpy.array([seed, row], numpy.uint64)
    counter = numpy.array([begin, 0, 0, 0], numpy.uint64)
    words = numpy.random.Philox(key=key, counter=counter).random_raw(skipped + count)
    numbers: Uniforms = ((words[skipped:] >> _UNUSED_BITS) * _UNIT).astype(numpy.float32)
    return numbers


@final
class Stream:
    """The uniform numbers of one row, step by step; drawn a block at a time.

    Args:
        seed: of the request; None takes a fresh one.
        row: which of the answers to it.

    Example:
        >>> Stream(7).at(70) == float(uniforms(7, 0, 70, 1)[0])
        True
    """

    def __init__(self, seed: int | None = None, row: int = 0) -> None:
        self.seed = fresh_seed() if seed is None else seed
        self.row = row
        self._block = -1
        self._numbers: list[float] = []

    def at(self, step: int) -> float:
        """Return the number of a step, in [0, 1)."""
        block, place = divmod(step, BLOCK)
        if block != self._block:
            self._block = block
            self._numbers = uniforms(self.seed, self.row, block * BLOCK, BLOCK).tolist()
        return self._numbers[place]
