"""Arrow's columns as rows of what JSON holds, and shapes as Arrow's types.

Owns which type each shape is written as, and what is read of each type; see `as_json`. Nanoseconds
are read as microseconds. Knows nothing of files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from openautoglm.data.formats.jsonl import json_of
from openautoglm.data.formats.shapes import ListShape, ObjectShape, is_json
from openautoglm.data.json_values import as_json
from openautoglm.data.source import Column
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from openautoglm.data.formats.shapes import Shape
    from openautoglm.data.source import Kind, Row

Arrow: TypeAlias = Any  # pyarrow's: it may be missing, and has no types of its own
JSON_MARK: Final = b"openautoglm.json"
"""In a field's metadata: its texts are JSON."""
_TEXTS: Final = (
    *("string", "large_string", "string_view"),
    *("binary", "large_binary", "binary_view", "fixed_size_binary"),
)
_UNREADABLE: Final = (
    ArithmeticError,
    LookupError,
    NotImplementedError,
    RecursionError,
    ValueError,
    msgspec.MsgspecError,
)


def arrow() -> ModuleType:
    """Return pyarrow."""
    return need("pyarrow", extra="data", why="reading and writing Parquet files")


def column_of(field: Arrow) -> Column:
    """Return a column as the file's schema has it."""
    kind: Kind = "any" if _is_marked(field) else _kind(field.type)
    return Column(name=field.name, kind=kind, nullable=field.nullable or kind == "number")


def rows_of(batch: Arrow) -> Iterator[Row | Exception]:
    """Yield the rows of a record batch; of one that cannot be read, the reason."""
    columns = _columns(batch)
    if not isinstance(columns, Exception):
        yield from _rows(columns, batch.schema.names, batch.num_rows)
    elif batch.num_rows == 1:
        yield columns
    else:
        for number in range(batch.num_rows):
            yield from rows_of(batch.slice(number, 1))


def field_of(name: str, shape: Shape) -> Arrow:
    """Return the field for a column of a shape."""
    pa = arrow()
    if is_json(shape):
        return pa.field(name, pa.string(), metadata={JSON_MARK: b"1"})
    return pa.field(name, _type(pa, shape))


def array_of(field: Arrow, values: Sequence[object]) -> Arrow:
    """Return values of a field's shape as an array."""
    if _is_marked(field):
        values = [None if value is None else json_of(value) for value in values]
    return arrow().array(values, type=field.type)


def _columns(batch: Arrow) -> list[list[object]] | Exception:
    try:
        return [_values(batch.column(n), field) for n, field in enumerate(batch.schema)]
    except _UNREADABLE as cause:
        return cause


def _rows(columns: list[list[object]], names: Sequence[str], count: int) -> Iterator[Row]:
    if not columns:
        yield from ({} for _ in range(count))
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _is_marked(field: Arrow) -> bool:
    return JSON_MARK in (field.metadata or {})


def _kind(type_: Arrow) -> Kind:
    types = need("pyarrow.types", extra="data", why="reading Parquet files")
    if types.is_dictionary(type_):
        return _kind(type_.value_type)
    kinds: dict[Kind, tuple[str, ...]] = {
        "any": ("interval",),  # comes as three numbers, and is one of the temporal types
        "text": (*_TEXTS, "temporal", "decimal"),
        "boolean": ("boolean",),
        "integer": ("integer",),
        "number": ("floating",),
        "list": ("list", "large_list", "fixed_size_list", "list_view", "large_list_view"),
        "object": ("struct", "map"),
    }
    for kind, names in kinds.items():
        if any(getattr(types, f"is_{name}")(type_) for name in names):
            return kind
    return "any"


def _type(pa: ModuleType, shape: Shape) -> Arrow:
    if isinstance(shape, ListShape):
        return pa.list_(_type(pa, shape.item))
    if isinstance(shape, ObjectShape):
        return pa.struct([pa.field(n, _type(pa, item)) for n, item in shape.fields.items()])
    leaves = {
        "null": pa.string(),  # a type of nulls alone is one that few readers know
        "boolean": pa.bool_(),
        "integer": pa.int64(),
        "long": pa.int64(),
        "number": pa.float64(),
        "text": pa.string(),
    }
    return leaves[shape]


def _values(column: Arrow, field: Arrow) -> list[object]:
    """Return a column's values."""
    if _is_marked(field):
        return [None if v is None else msgspec.json.decode(v) for v in column.to_pylist()]
    type_ = _readable(arrow(), column.type)
    if type_ != column.type:
        column = column.cast(type_, safe=False)
    return [as_json(value) for value in column.to_pylist(maps_as_pydicts="strict")]


def _readable(pa: ModuleType, type_: Arrow) -> Arrow:
    """Return a type whose times Python can hold: microseconds instead of nanoseconds."""
    types = pa.types
    if types.is_timestamp(type_) and type_.unit == "ns":
        return pa.timestamp("us", type_.tz)
    if types.is_time64(type_) and type_.unit == "ns":
        return pa.time64("us")
    if types.is_duration(type_) and type_.unit == "ns":
        return pa.duration("us")
    if types.is_list(type_) or types.is_large_list(type_):
        item = type_.value_field.with_type(_readable(pa, type_.value_type))
        return pa.list_(item) if types.is_list(type_) else pa.large_list(item)
    if types.is_struct(type_):
        fields = [type_.field(n) for n in range(type_.num_fields)]
        return pa.struct([field.with_type(_readable(pa, field.type)) for field in fields])
    return type_
