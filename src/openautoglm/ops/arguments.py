"""What one input, attribute or output of an operator may be, and the description of an array.

Owns `In`, `Attr`, `Out`, `ArraySpec`; each refuses what contradicts itself. Knows nothing of the
operator they belong to, nor of any array library.
"""

from __future__ import annotations

import enum
from dataclasses import KW_ONLY, dataclass
from math import isfinite
from numbers import Integral, Real
from sys import float_info
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeGuard, get_args

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.dtypes import DTYPES, listed
from openautoglm.ops.fields import (
    check_field,
    check_flag,
    check_name,
    check_reference,
    read_texts,
    read_tuple,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AttrValue: TypeAlias = bool | int | float | str
AttrType: TypeAlias = type[bool] | type[int] | type[float] | type[str]
Shape: TypeAlias = tuple[str | int, ...]
"""Sizes by symbol or by number; a first `"..."` stands for any leading sizes."""
Layout: TypeAlias = Literal["strided", "contiguous"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)

LEADING: Final = "..."
INT64: Final = range(-(2**63), 2**63)


class Required(enum.Enum):
    """The type of `REQUIRED`."""

    REQUIRED = "required"

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = Required.REQUIRED
"""The default of an attribute that has none."""


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """An array without its values.

    Attributes:
        shape: sizes, outermost first; torch's symbolic sizes are taken as they are.
        dtype: a name of `DTYPES`.
        device: `cpu` or `cuda`, with an index where it matters (`cuda:1`).
    """

    shape: tuple[int, ...]
    dtype: str
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class In:
    """An input array.

    Attributes:
        name: an identifier.
        dtypes: the dtypes it may have. Not given: those of the first input, and equal to the first
            input's in every call; of the first input itself, the floats.
        shape: sizes by symbol or number, None for any shape. A symbol has one size in a call; a
            leading `"..."` has the same sizes everywhere in a call.
        layout: `contiguous` where kernels need it; then others are copied before the call.
        optional: may be absent (None).
        many: a list of one or more arrays of one dtype, each of this shape.
        like: an earlier input whose dtype it must have.

    Raises:
        OperatorDefinitionError: it contradicts itself.
    """

    name: str
    _: KW_ONLY
    dtypes: tuple[str, ...] = ()
    shape: Shape | None = None
    layout: Layout = "strided"
    optional: bool = False
    many: bool = False
    like: str | None = None

    def __post_init__(self) -> None:
        where = f"input `{self.name}`"
        check_name(self.name, where)
        dtypes = read_tuple(self.dtypes, where, 'dtypes are a tuple: ("f32",)')
        object.__setattr__(self, "dtypes", dtypes)
        object.__setattr__(self, "shape", read_shape(self.shape, where))
        _check_dtypes(self.dtypes, where)
        layout: object = self.layout
        holds = isinstance(layout, str) and layout in LAYOUTS
        check_field(where, "layout", layout, holds=holds, expected=listed(LAYOUTS, last="or"))
        check_flag(where, "optional", self.optional)
        check_flag(where, "many", self.many)
        check_reference(where, "like", self.like)
        if self.optional and self.many:
            raise OperatorDefinitionError(
                f"{where}: a list of arrays cannot be optional",
                got="optional=True, many=True",
                fix="drop one of the two",
            )


@dataclass(frozen=True, slots=True)
class Attr:
    """A plain value that is no array.

    Attributes:
        name: an identifier.
        type: float, int, bool or str.
        default: taken where a call gives none; `REQUIRED` where every call must.
        low: the smallest value allowed, of a number.
        high: the largest value allowed, of a number.
        choices: the values allowed, where they are few.

    Raises:
        OperatorDefinitionError: it contradicts itself.

    Example:
        >>> Attr("eps", float, 1e-6, low=0).expected
        'a float of at least 0'
    """

    name: str
    type: AttrType
    default: AttrValue | Required = REQUIRED
    _: KW_ONLY
    low: float | None = None
    high: float | None = None
    choices: tuple[AttrValue, ...] | None = None

    def __post_init__(self) -> None:
        where = f"attribute `{self.name}`"
        check_name(self.name, where)
        if not any(self.type is kind for kind in _READERS):
            raise OperatorDefinitionError(
                f"{where}: the type is float, int, bool or str",
                got=getattr(self.type, "__name__", None) or shown(self.type),
                fix="pass what is not a plain value as an input",
            )
        _check_limits(self, where)
        if self.default is not REQUIRED:
            default = self.read(self.default)
            if default is None or not _can_be_written(default):
                also = ", finite and not subnormal" if self.type is float else ""
                raise OperatorDefinitionError(
                    f"{where}: the default must be {self.expected}{also}",
                    got=shown(self.default),
                    fix="change the default or what is allowed",
                )
            object.__setattr__(self, "default", default)

    def read(self, value: object) -> AttrValue | None:
        """Return the value as the attribute's type, or None where it is not allowed."""
        read = _READERS[self.type](value)
        return read if read is not None and self._allows(read) else None

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.choices is not None:
            return "one of " + listed(map(_quoted, self.choices), last="or")
        article = "an" if self.type is int else "a"
        return f"{article} {self.type.__name__}{_limits_text(self.low, self.high)}"

    def _allows(self, value: AttrValue) -> bool:
        if self.choices is not None and value not in self.choices:
            return False
        if isinstance(value, str):
            return True
        if self.low is not None and not value >= self.low:
            return False
        return self.high is None or value <= self.high


@dataclass(frozen=True, slots=True)
class Out:
    """An output array; the caller allocates it, always contiguous.

    With none of `like`, `shape` and `broadcast` it has the shape all inputs broadcast to.

    Attributes:
        name: an identifier.
        like: an input whose shape it has, and whose dtype where `dtype` is not given.
        shape: sizes by symbol or number.
        dtype: a dtype, or an input whose dtype it has; not given: that of the first input.
        broadcast: inputs whose shapes broadcast to its own, by NumPy's rule.

    Raises:
        OperatorDefinitionError: it contradicts itself.
    """

    name: str
    _: KW_ONLY
    like: str | None = None
    shape: Shape | None = None
    dtype: str | None = None
    broadcast: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        where = f"output `{self.name}`"
        check_name(self.name, where, reserved={})
        object.__setattr__(self, "shape", read_shape(self.shape, where))
        check_reference(where, "like", self.like)
        check_reference(where, "dtype", self.dtype)
        if self.broadcast is not None:
            names = read_texts(self.broadcast, where, 'broadcast is a tuple: ("x", "y")')
            object.__setattr__(self, "broadcast", names)
        rules = {"like": self.like, "shape": self.shape, "broadcast": self.broadcast}
        given = [rule for rule, value in rules.items() if value is not None]
        if len(given) > 1:
            raise OperatorDefinitionError(
                f"{where}: one rule says its shape", got=listed(given), fix=f"keep `{given[0]}`"
            )


def read_shape(shape: object, where: str) -> Shape | None:
    """Return a pattern of sizes as a tuple, or refuse it."""
    if shape is None:
        return None
    sizes: list[str | int] = []
    for size in read_tuple(shape, where, 'a shape is a tuple: ("n",)'):
        if not _is_size(size, len(sizes)):
            raise OperatorDefinitionError(
                f"{where}: a size is a symbol, a number, or `...` in the first place",
                got=f"{shown(size)} in place {len(sizes) + 1} of {shown(shape)}",
                fix='write it like ("...", "n", 4)',
            )
        sizes.append(size)
    return tuple(sizes)


def shape_text(shape: Sequence[object]) -> str:
    """Return sizes as they are written in a schema.

    Example:
        >>> shape_text(("...", "n", 4))
        '[..., n, 4]'
    """
    return f"[{', '.join(map(str, shape))}]"


def _is_size(size: object, position: int) -> TypeGuard[str | int]:
    if isinstance(size, str):
        is_symbol = size.isidentifier() and size.isascii()
        return is_symbol or (size == LEADING and position == 0)
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size < INT64.stop


def _check_dtypes(dtypes: tuple[object, ...], where: str) -> None:
    unknown = [name for name in dtypes if not isinstance(name, str) or name not in DTYPES]
    if unknown or len(set(dtypes)) < len(dtypes):
        raise OperatorDefinitionError(
            f"{where}: dtypes are distinct names of {listed(DTYPES)}",
            got=listed(map(str, dtypes)),
            fix=f"drop {listed(map(str, unknown))}" if unknown else "name each once",
        )


def _check_limits(attr: Attr, where: str) -> None:
    problem = _limits_problem(attr)
    if problem is None and attr.choices is not None:
        choices = read_tuple(attr.choices, where, "choices are a tuple of values")
        object.__setattr__(attr, "choices", choices)
        problem = _choices_problem(attr.type, choices)
    if problem is not None:
        raise OperatorDefinitionError(
            f"{where}: {problem}",
            got=f"low={shown(attr.low)}, high={shown(attr.high)}, choices={shown(attr.choices)}",
            fix="say what is allowed by a range or by choices, in the attribute's own type",
        )


def _limits_problem(attr: Attr) -> str | None:
    limits: list[object] = [limit for limit in (attr.low, attr.high) if limit is not None]
    if limits and attr.type not in (int, float):
        return f"a {attr.type.__name__} has no range"
    if not all(map(_is_finite, limits)):
        return "a limit is a finite number"
    if attr.low is not None and attr.high is not None and attr.low > attr.high:
        return "the range is empty"
    return "a range and choices exclude each other" if limits and attr.choices is not None else None


def _choices_problem(kind: AttrType, choices: tuple[object, ...]) -> str | None:
    if any(_READERS[kind](choice) is None for choice in choices):
        return f"every choice is of type {kind.__name__}"
    if not choices or len(set(choices)) < len(choices):
        return "choices are distinct, and at least one"
    return None


def _is_finite(limit: object) -> bool:
    number = _read_float(limit)  # True is no number, a too large one has no float
    return number is not None and isfinite(number)


def _limits_text(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" between {low} and {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if high is None else f" of at most {high}"


def _can_be_written(value: AttrValue) -> bool:
    """Return whether torch's reader of schemas takes the value as a default."""
    if not isinstance(value, float) or value == 0:
        return True
    return isfinite(value) and abs(value) >= float_info.min


def _quoted(value: AttrValue) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _read_float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _read_int(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    number = int(value)
    return number if number in INT64 else None


def _read_bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_str(value: object) -> str | None:
    return value if isinstance(value, str) else None


_READERS: Final[Mapping[AttrType, Callable[[object], AttrValue | None]]] = {
    float: _read_float,
    int: _read_int,
    bool: _read_bool,
    str: _read_str,
}
