"""How many tokens a row may read in one step, where rows have unlike numbers of them to read.

Owns `best_width`. Knows lengths alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP: Final = 16
"""A step costs as much as reading so many tokens, beside those that it reads."""


def best_width(lags: Sequence[int]) -> int:
    """Return the most tokens a row should read now: those for which a step reads most per cost.

    A row that has fewer is filled up with padding, which costs as much as tokens do.

    Args:
        lags: how many tokens each row has yet to read, one at least.

    Example:
        >>> best_width([8]), best_width([8, 1, 8]), best_width([8, *[1] * 15])
        (8, 8, 1)
    """

    def gain(width: int) -> float:
        return sum(min(lag, width) for lag in lags) / (STEP + len(lags) * width)

    return max(sorted(set(lags)), key=gain)
