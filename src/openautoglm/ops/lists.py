"""Arguments that are lists of arrays, laid out flat and put back.

A call's arrays in one row are what casting and saving for a gradient work on. Knows no library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

Counts: TypeAlias = tuple[int | None, ...]
"""How long each argument is, None for one that is no list."""


def counts_of(values: Sequence[Any]) -> Counts:
    """Return how many arrays each argument is, None for one that is no list."""
    return tuple(len(v) if isinstance(v, (list, tuple)) else None for v in values)


def flat(values: Sequence[Any]) -> list[Any]:
    """Return the arguments with the members of lists in their places.

    Example:
        >>> flat([[1, 2], 3])
        [1, 2, 3]
    """
    return [one for v in values for one in (v if isinstance(v, (list, tuple)) else (v,))]


def nested(values: Sequence[Any], counts: Counts) -> list[Any]:
    """Return values as they were before `flat`.

    Example:
        >>> nested([1, 2, 3], (2, None))
        [[1, 2], 3]
    """
    rest = iter(values)
    return [next(rest) if n is None else [next(rest) for _ in range(n)] for n in counts]


def spread(values: Sequence[T], counts: Counts) -> list[T]:
    """Return what is said of each argument, for every array of it.

    Example:
        >>> spread(["lower", "keep"], (2, None))
        ['lower', 'lower', 'keep']
    """
    return [
        value
        for value, count in zip(values, counts, strict=True)
        for _ in range(1 if count is None else count)
    ]
