"""What values a column holds, told row by row: the types that a Parquet file will have.

Owns `Shape`: the shape of a value, and what two shapes have in common. Knows nothing of Parquet.

Null goes with everything. Integers become numbers beside numbers, as long as a float holds them
exactly. Objects have the fields of all of them. Everything else that differs has only JSON in
common, and so have objects without fields and objects with very many.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

EXACT: Final = 1 << 53
"""Integers up to here are the same as floats."""
INTEGERS: Final = range(-(1 << 63), 1 << 63)
MOST_FIELDS: Final = 100
MOST_DEPTH: Final = 8

Leaf: TypeAlias = Literal["null", "boolean", "integer", "long", "number", "text", "json"]
"""`long`: integers of which a float cannot hold all; `json`: nothing in common."""


@final
class ListShape(msgspec.Struct, frozen=True):
    """A list; what its items have in common."""

    item: Shape


@final
class ObjectShape(msgspec.Struct, frozen=True):
    """An object, with the fields of all of them in the order in which they came."""

    fields: dict[str, Shape]


Shape: TypeAlias = "Leaf | ListShape | ObjectShape"

_NUMBERS: Final[Mapping[frozenset[Shape], Shape]] = {
    frozenset({"integer", "number"}): "number",
    frozenset({"integer", "long"}): "long",
}


def shape_of(value: object, depth: int = MOST_DEPTH) -> Shape:
    """Return the shape of a value that JSON holds.

    Example:
        >>> [shape_of(value) for value in (None, True, 1, 1 << 60, 0.5, "a", {})]
        ['null', 'boolean', 'integer', 'long', 'number', 'text', 'json']
    """
    if isinstance(value, (list, tuple, dict)):
        return _nested(value, depth - 1) if depth else "json"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return "number"
    return "null" if value is None else "text"


def joined(one: Shape, other: Shape) -> Shape:
    """Return what two shapes have in common.

    Example:
        >>> joined("null", "text"), joined("integer", "number"), joined("long", "number")
        ('text', 'number', 'json')
    """
    if "null" in (one, other):
        return other if one == "null" else one
    if one == other:
        return one
    if isinstance(one, ListShape) and isinstance(other, ListShape):
        return ListShape(joined(one.item, other.item))
    if isinstance(one, ObjectShape) and isinstance(other, ObjectShape):
        return _merged(one, other)
    if isinstance(one, str) and isinstance(other, str):
        return _NUMBERS.get(frozenset({one, other}), "json")
    return "json"


def is_json(shape: Shape) -> bool:
    """Whether values of a shape can only be kept as JSON, all or some of what is in them."""
    if isinstance(shape, ListShape):
        return is_json(shape.item)
    if isinstance(shape, ObjectShape):
        return any(is_json(field) for field in shape.fields.values())
    return shape == "json"


def _integer(value: int) -> Shape:
    if -EXACT <= value <= EXACT:
        return "integer"
    return "long" if value in INTEGERS else "json"


def _nested(value: list[object] | tuple[object, ...] | dict[str, object], depth: int) -> Shape:
    if isinstance(value, dict):
        if not 0 < len(value) <= MOST_FIELDS:
            return "json"
        return ObjectShape({name: shape_of(item, depth) for name, item in value.items()})
    start: Shape = "null"
    return ListShape(reduce(joined, (shape_of(item, depth) for item in value), start))


def _merged(one: ObjectShape, other: ObjectShape) -> Shape:
    fields = dict(one.fields)
    for name, shape in other.fields.items():
        fields[name] = joined(fields.get(name, "null"), shape)
    return ObjectShape(fields) if len(fields) <= MOST_FIELDS else "json"
