"""Whether rows fit a table, and the table that fits rows: `Fitting`.

Owns what is refused of a row, and the column that is wrong. Connects to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.columns import checked_row
from openautoglm.data.tables.storage import TAKES, kind_of, storage_for
from openautoglm.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.data.source import Kind, Row
    from openautoglm.data.tables.database import Database, Table

    Kinds = dict[str, set[Kind]]

LARGEST: Final = 2**63
"""Integers below it, and down to its negative, are those of SQL."""


@final
class Fitting:
    """Look at rows, one batch after another, and remember what columns they need.

    Args:
        database: whose rules hold.
        name: of the table, as statements have it.
        key: columns that are to name a row; empty for none.
        table: what is there; None where the rows say what the table will be.
    """

    def __init__(
        self, database: Database, name: str, key: Sequence[str], table: Table | None
    ) -> None:
        self._database = database
        self._name = name
        self._key = tuple(key)
        self._table = table
        self._kinds: Kinds = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a row had, in the order in which they came."""
        return tuple(self._kinds)

    def checked(self, rows: Sequence[object], first: int) -> tuple[list[Row], Kinds]:
        """Return rows that can be written, and the kinds of their values by column.

        Args:
            rows: to be looked at.
            first: number of the first one, for messages.

        Raises:
            BadRowError: one cannot; names it, and its column.
        """
        found: Kinds = {}
        taken: list[Row] = []
        for number, row in enumerate(rows, start=first):
            checked = checked_row(row, number)
            self._check_row(checked, number)
            for name, value in checked.items():
                found.setdefault(name, set()).update(_kinds(value))
            taken.append(checked)
        self._check_names(found)
        return taken, found

    def remember(self, found: Kinds) -> None:
        """Note what rows that are written hold."""
        for name, kinds in found.items():
            self._kinds.setdefault(name, set()).update(kinds)

    def misfit(self, table: Table) -> tuple[str, str] | None:
        """Return why the rows so far do not fit a table, and what to do; None where they do."""
        for name, kinds in self._kinds.items():
            if why := self._column_misfit(name, kinds, table):
                return why, self._fix(name, kinds, table)
        return None

    def creation(self) -> str:
        """Return the statement that makes a table for the rows so far."""
        types, quoted = self._database.dialect.types, self._database.quoted
        parts = []
        for name, kinds in self._kinds.items():
            suffix = " NOT NULL" if name in self._key else ""
            parts.append(f"{quoted(name)} {types[storage_for(kinds)]}{suffix}")
        if self._key:
            parts.append(f"PRIMARY KEY ({', '.join(map(quoted, self._key))})")
        return f"CREATE TABLE {self._name} ({', '.join(parts)})"

    def _check_names(self, found: Kinds) -> None:
        same = self._database.dialect.same_name
        known = {same(name): name for name in self._kinds}
        for name in found:
            other = known.setdefault(same(name), name)
            if other != name:
                raise BadRowError(
                    f"the columns `{other}` and `{name}` are one to {self._database.dialect.name}",
                    fix="give one of them another name",
                )

    def _check_row(self, row: Mapping[str, object], number: int) -> None:
        if not row:
            raise BadRowError(f"row {number} has no columns", fix="a table's row has at least one")
        for name in self._key:
            if kind_of(row.get(name)) not in {"text", "integer"}:
                raise BadRowError(
                    f"row {number} has no text or integer in its key, the column `{name}`",
                    got=repr(row.get(name))[:100],
                    fix="fill it, or leave `key` out of the URL",
                )
        for name, value in row.items():
            if why := self._value_misfit(name, value):
                raise BadRowError(
                    f"row {number}: {why}", got=repr(value)[:100], fix="correct the row"
                )
            kinds = _kinds(value)
            if self._table and (why := self._column_misfit(name, kinds, self._table)):
                raise BadRowError(
                    f"row {number}: {why}",
                    got=repr(value)[:100],
                    fix=self._fix(name, kinds, self._table),
                )

    def _value_misfit(self, name: str, value: object) -> str:
        dialect = self._database.dialect
        if name not in self._kinds and (why := dialect.check_name(name)):
            return f"the name of the column `{name[:100]}` {why}"
        for text in (name, *_texts_in(value)):
            if why := dialect.check_text(text):
                return f"the column `{name}` {why}"
        if isinstance(value, int) and not -LARGEST <= value < LARGEST:
            return f"the column `{name}` has an integer of more than 64 bits"
        return ""

    def _column_misfit(self, name: str, kinds: set[Kind], table: Table) -> str:
        storage = table.columns.get(name)
        if storage is None:
            return f"the column `{name}` is not one of the table {self._name}"
        wrong = kinds - TAKES[storage]
        if wrong:
            return (
                f"the column `{name}` of the table {self._name} holds {storage}, "
                f"not {' or '.join(sorted(wrong))}"
            )
        return ""

    def _fix(self, name: str, kinds: set[Kind], table: Table) -> str:
        if name in table.columns:
            return "change the row, or the table so that its columns take every row's values"
        declared = self._database.dialect.types[storage_for(kinds)]
        statement = f"ALTER TABLE {self._name} ADD COLUMN {self._database.quoted(name)} {declared}"
        return f"add it: {statement}; or leave the column out of the rows"


def _kinds(value: object) -> set[Kind]:
    kind = kind_of(value)
    return set() if kind is None else {kind}


def _texts_in(value: object) -> Iterator[str]:
    """Yield every text in a value, names in objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts_in(name)
            yield from _texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_in(inner)
