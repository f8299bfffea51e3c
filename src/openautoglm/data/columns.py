"""What columns some rows have, and what makes a row one, for every kind of source and sink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from openautoglm.data.source import Column, Kind
from openautoglm.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.data.source import Row

KINDS: Final[dict[type, Kind]] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "list",
    dict: "object",
}
NUMBERS: Final = frozenset({"integer", "number"})


def columns_of(rows: Iterable[Row]) -> tuple[Column, ...]:
    """Return the columns of rows in the order in which they first appear.

    Example:
        >>> [(c.name, c.kind, c.nullable) for c in columns_of([{"n": 1, "t": "a"}, {"n": 0.5}])]
        [('n', 'number', False), ('t', 'text', True)]
    """
    kinds: dict[str, set[Kind]] = {}
    filled: dict[str, int] = {}
    count = 0
    for row in rows:
        count += 1
        for name, value in row.items():
            found = kinds.setdefault(name, set())
            if value is not None:
                found.add(KINDS.get(type(value), "any"))
                filled[name] = filled.get(name, 0) + 1
    return tuple(
        Column(name=name, kind=_one(found), nullable=filled.get(name, 0) < count)
        for name, found in kinds.items()
    )


def _one(kinds: set[Kind]) -> Kind:
    if kinds == NUMBERS:
        return "number"
    return next(iter(kinds)) if len(kinds) == 1 else "any"


def checked_row(row: object, number: int) -> dict[str, object]:
    """Return a row to be written, its columns named by texts.

    Raises:
        BadRowError: it is no row; says which.
    """
    if isinstance(row, Mapping) and all(isinstance(name, str) for name in row):
        return dict(row)
    raise BadRowError(
        f"row {number} is no mapping of columns to values",
        got=repr(row)[:200],
        fix='write rows such as {"column": value}; columns are texts',
    )
