"""The sizes of one call: which symbol has which size, and what shapes broadcast to.

Compares sizes and never converts them, so that torch's symbolic sizes go through. Knows nothing
of dtypes, devices or operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from openautoglm.ops.arguments import LEADING, shape_text

if TYPE_CHECKING:
    from openautoglm.ops.arguments import Shape


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape that all broadcast to by NumPy's rule, or None where there is none.

    Example:
        >>> broadcast_shapes((4, 1), (3,))
        (4, 3)
    """
    result: tuple[int, ...] = ()
    for shape in shapes:
        wider = _broadcast_two(result, shape)
        if wider is None:
            return None
        result = wider
    return result


def _broadcast_two(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...] | None:
    rank = max(len(left), len(right))
    sizes: list[int] = []
    for a, b in zip(_padded(left, rank), _padded(right, rank), strict=True):
        if b == 1:
            sizes.append(a)
        elif a in (1, b):
            sizes.append(b)
        else:
            return None
    return tuple(sizes)


def _padded(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + shape


@final
class Bindings:
    """The sizes that symbols and the leading `...` have taken in one call.

    Belongs to that call and to one thread.

    Example:
        >>> sizes = Bindings()
        >>> sizes.bind("x", ("...", "n"), (2, 3, 8)) is None
        True
        >>> sizes.bind("w", ("n",), (7,))
        '[n] with n=8 as in `x`'
        >>> sizes.shape_of(("...", 4))
        (2, 3, 4)
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._leading: tuple[int, ...] | None = None
        self._first: dict[str, str] = {}

    def bind(self, argument: str, pattern: Shape, shape: tuple[int, ...]) -> str | None:
        """Match a shape and learn its new symbols; return what was expected where it differs."""
        named = pattern[1:] if pattern[:1] == (LEADING,) else pattern
        extra = len(shape) - len(named)
        if extra < 0 or (extra and named is pattern):
            return shape_text(pattern)
        if named is not pattern and not self._bind_leading(argument, shape[:extra]):
            leading = shape_text(self._leading or ())
            return f"{shape_text(pattern)} with ...={leading} as in `{self._first[LEADING]}`"
        for symbol, size in zip(named, shape[extra:], strict=True):
            if isinstance(symbol, int):
                if size != symbol:
                    return shape_text(pattern)
            elif self._sizes.setdefault(symbol, size) != size:
                first = self._first.get(symbol, argument)
                return f"{shape_text(pattern)} with {symbol}={self._sizes[symbol]} as in `{first}`"
            else:
                self._first.setdefault(symbol, argument)
        return None

    def shape_of(self, pattern: Shape) -> tuple[int, ...]:
        """Return the sizes of a pattern whose every symbol is bound."""
        sizes: list[int] = []
        for symbol in pattern:
            if symbol == LEADING:
                sizes.extend(self._leading or ())
            else:
                sizes.append(symbol if isinstance(symbol, int) else self._sizes[symbol])
        return tuple(sizes)

    def _bind_leading(self, argument: str, sizes: tuple[int, ...]) -> bool:
        if self._leading is None:
            self._leading = sizes
            self._first[LEADING] = argument
        return self._leading == sizes
