"""What columns of tables hold: how declared types are understood, values read and values put.

Owns `Storage` and what follows from it. Knows no database.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import msgspec

from openautoglm.data.columns import KINDS, NUMBERS
from openautoglm.data.json_values import as_json
from openautoglm.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from sqlalchemy.types import TypeEngine

    from openautoglm.data.source import Kind

Storage: TypeAlias = Literal[
    "text", "integer", "number", "decimal", "boolean", "json", "array", "bytes", "other", "untyped"
]
"""What a column is for; `other` is anything that is written as text, such as a date."""

TAKES: Final[dict[Storage, frozenset[str]]] = {
    "text": frozenset({"text"}),
    "integer": frozenset({"integer"}),
    "number": NUMBERS,
    "decimal": NUMBERS | {"text"},
    "boolean": frozenset({"boolean"}),
    "json": frozenset({*KINDS.values(), "any"}),
    "array": frozenset({"list"}),
    "bytes": frozenset(),
    "other": frozenset({"text", "integer", "number"}),
    "untyped": frozenset({*KINDS.values(), "any"}),
}
"""Which kinds of values a column takes without changing them."""

READ_AS: Final[dict[Storage, Kind]] = {
    "text": "text",
    "integer": "integer",
    "number": "number",
    "decimal": "text",
    "boolean": "boolean",
    "json": "any",
    "array": "list",
    "bytes": "text",
    "other": "text",
    "untyped": "any",
}


@final
class Undecodable:
    """A text that is no UTF-8, as a database handed it over."""

    def __init__(self, content: bytes) -> None:
        self.content = content


def storage_of(declared: TypeEngine[object]) -> Storage:
    """Return what a column of a declared type holds."""
    from sqlalchemy import types

    groups: tuple[tuple[type, Storage], ...] = (
        (types.Boolean, "boolean"),
        (types.Integer, "integer"),
        (types.Float, "number"),
        (types.Numeric, "decimal"),
        (types.JSON, "json"),
        (types.ARRAY, "array"),
        (types.LargeBinary, "bytes"),
        (types.Enum, "other"),
        (types.String, "text"),
        (types.NullType, "untyped"),
    )
    return next((storage for kind, storage in groups if isinstance(declared, kind)), "other")


def storage_for(kinds: AbstractSet[Kind]) -> Storage:
    """Return what a new column should hold, of the kinds of values that come."""
    if not kinds:
        return "text"
    if kinds == NUMBERS:
        return "number"
    plain: dict[Kind, Storage] = {
        "text": "text",
        "integer": "integer",
        "number": "number",
        "boolean": "boolean",
    }
    return plain.get(next(iter(kinds)), "json") if len(kinds) == 1 else "json"


def kind_of(value: object) -> Kind | None:
    """Return of what kind a value is; None of null."""
    return None if value is None else KINDS.get(type(value), "any")


def read_value(value: object, storage: Storage | None) -> object:
    """Return a value of a database as what JSON holds.

    Args:
        value: as the driver returned it.
        storage: what its column is for; None where the driver has seen to that.

    Raises:
        BadRowError: it is a text that is no UTF-8.
    """
    if isinstance(value, Undecodable):
        raise BadRowError(
            "a text is not UTF-8",
            got=value.content[:80].decode("utf-8", "backslashreplace"),
            fix="correct it, or read it as bytes: CAST(column AS BLOB) in a query",
        )
    if storage == "boolean" and value in (0, 1):
        return bool(value)
    if storage == "json" and isinstance(value, str):
        try:
            decoded: object = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
        return decoded
    return as_json(value)


def writer_of(storage: Storage, *, is_typed: bool) -> Callable[[object], object]:
    """Return what makes of a row's value one that a driver takes, for a column.

    Args:
        storage: of the column.
        is_typed: whether the driver takes lists for columns that are arrays.
    """
    if storage == "json":
        return _as_json_text
    if storage == "array" and is_typed:
        return _as_it_is
    return _as_scalar


def _as_it_is(value: object) -> object:
    return value


def _as_json_text(value: object) -> object:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _as_scalar(value: object) -> object:
    return _as_json_text(value) if isinstance(value, (list, dict)) else value
