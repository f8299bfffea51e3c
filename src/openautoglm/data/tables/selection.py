"""Which rows are read, and the statements that read them: `Selection`.

Owns the text of every SELECT. Names are quoted, values are passed beside the statement; a query of
the user's stands in it as it is, which is what a query is for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.source import Column
from openautoglm.data.tables.storage import READ_AS
from openautoglm.errors import DataUrlError
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.data.tables.address import Address
    from openautoglm.data.tables.database import Database, Table
    from openautoglm.data.tables.storage import Storage

    Fields = tuple[object, ...]

NULL_NUMBERS: Final = frozenset({"number", "untyped"})
"""What may come as null though the column has none: NaN is no number of JSON's."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Rows of a table or of a query.

    Attributes:
        name: begins the keys of records.
        relation: what stands behind FROM; its rows are called `r`.
        fields: what is selected, behind the key.
        key: expressions that name a row and put the rows in order; empty for none.
        is_unique: whether the database sees to it that no two rows have one key.
        names: of the columns, in order.
        storages: what each column holds; empty where the driver sees to that.
        columns: as a description has them; empty where only rows tell.
        census: an expression that tells sets of keys apart; empty without a key.
        digest: changes when what is asked for does.
        mark: stands for a value.
    """

    name: str
    relation: str
    fields: str
    key: tuple[str, ...]
    is_unique: bool
    names: tuple[str, ...]
    storages: Mapping[str, Storage]
    columns: tuple[Column, ...]
    census: str
    digest: str
    mark: str

    def rows(self, after: Fields | None, upto: Fields | None, *, limit: int) -> tuple[str, Fields]:
        """Return what reads rows in the order of their key, the key's values first."""
        key = ", ".join(self.key)
        where, values = self._between(after, upto)
        order = f"ORDER BY {key} LIMIT {limit}"
        return (
            f"SELECT {key}, {self.fields} FROM {self.relation}{where} {order}",  # noqa: S608 - quoted names
            values,
        )

    def sample(self, *, limit: int) -> str:
        """Return what reads some rows."""
        return f"{self.all_rows()} LIMIT {limit}"

    def all_rows(self) -> str:
        """Return what reads all rows, as they come."""
        return f"SELECT {self.fields} FROM {self.relation}"  # noqa: S608 - quoted names

    def boundary(self, after: Fields | None, *, rows: int) -> tuple[str, Fields]:
        """Return what finds the key of the `rows`-th row behind another one."""
        key = ", ".join(self.key)
        where, values = self._between(after, None)
        order = f"ORDER BY {key} LIMIT 1 OFFSET {rows - 1}"
        return f"SELECT {key} FROM {self.relation}{where} {order}", values  # noqa: S608 - quoted names

    def last(self) -> str:
        """Return what finds the largest key."""
        order = ", ".join(f"{expression} DESC" for expression in self.key)
        key = ", ".join(self.key)
        return f"SELECT {key} FROM {self.relation} ORDER BY {order} LIMIT 1"  # noqa: S608 - quoted names

    def count(self) -> str:
        """Return what counts all rows."""
        return f"SELECT count(*) FROM {self.relation}"  # noqa: S608 - quoted names

    def counted(
        self, after: Fields | None = None, upto: Fields | None = None
    ) -> tuple[str, Fields]:
        """Return what counts rows with a key, and tells their keys from others."""
        where, values = self._between(after, upto)
        return f"SELECT count(*), {self.census} FROM {self.relation}{where}", values  # noqa: S608 - quoted names

    def null_key(self) -> str:
        """Return what finds a row whose key has a null in it."""
        nulls = " OR ".join(f"{expression} IS NULL" for expression in self.key)
        return f"SELECT 1 FROM {self.relation} WHERE {nulls} LIMIT 1"  # noqa: S608 - quoted names

    def double_key(self) -> str:
        """Return what finds a key of two rows."""
        key = ", ".join(self.key)
        return (
            f"SELECT {key} FROM {self.relation} "  # noqa: S608 - quoted names
            f"GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
        )

    def _between(self, after: Fields | None, upto: Fields | None) -> tuple[str, Fields]:
        key, marks = ", ".join(self.key), ", ".join([self.mark] * len(self.key))
        bounds = [f"({key}) {sign} ({marks})" for sign, b in ((">", after), ("<=", upto)) if b]
        return f" WHERE {' AND '.join(bounds)}" if bounds else "", (*(after or ()), *(upto or ()))


def of_table(database: Database, address: Address, table: Table) -> Selection:
    """Return the rows of a table, by its primary key where the URL names no other one.

    Raises:
        DataUrlError: the key names a column that there is not.
    """
    row_id = "" if table.is_view else database.dialect.row_id(tuple(table.columns))
    asked = address.key or table.key
    for name in asked:
        if name not in table.columns and name != row_id:
            raise DataUrlError(
                f"the table `{address.table}` has no column `{name}` for a key",
                got=address.shown,
                fix=suggest(name, tuple(table.columns)) or f"columns: {', '.join(table.columns)}",
            )
    key = [f"r.{name if name == row_id else database.quoted(name)}" for name in asked]
    if not key and row_id:
        key = [f"r.{row_id}"]
    named = frozenset(asked)
    sets = (frozenset(table.key), *table.unique)
    return Selection(
        name=address.table,
        relation=f"{database.qualified(address.table, address.schema)} AS r",
        fields=", ".join(f"r.{database.quoted(name)}" for name in table.columns),
        key=tuple(key),
        is_unique=not named or row_id in named or any(one and one <= named for one in sets),
        names=tuple(table.columns),
        storages={} if database.dialect.is_typed else table.columns,
        columns=_columns(table, is_typed=database.dialect.is_typed),
        census=database.dialect.census(key),
        digest=", ".join(f"{name}:{storage}" for name, storage in table.columns.items()),
        mark=database.dialect.mark,
    )


def of_query(database: Database, address: Address) -> Selection:
    """Return the rows of a query, by the key that the URL names.

    Raises:
        DataUrlError: two of its columns have one name, or the key names none of them.
        InputNotFoundError: the database refuses it.
    """
    query = database.dialect.escaped(address.query)
    relation = f"(\n{query}\n) AS r"  # a line of its own: the query may end in a comment
    names = database.columns_of(f"SELECT r.* FROM {relation} LIMIT 0")  # noqa: S608 - the user's query
    for name in address.key:
        if name not in names:
            raise DataUrlError(
                f"the query has no column `{name}` for a key",
                got=address.shown,
                fix=suggest(name, names) or f"columns: {', '.join(names)}",
            )
    key = tuple(f"r.{database.quoted(name)}" for name in address.key)
    digest = hashlib.sha256(address.query.encode()).hexdigest()[:16]
    return Selection(
        name=address.name,
        relation=relation,
        fields="r.*",
        key=key,
        is_unique=False,
        names=names,
        storages={},
        columns=(),
        census=database.dialect.census(key),
        digest=f"sha256:{digest} {', '.join(names)}",
        mark=database.dialect.mark,
    )


def _columns(table: Table, *, is_typed: bool) -> tuple[Column, ...]:
    columns = []
    for name, storage in table.columns.items():
        kind = READ_AS[storage]
        if not is_typed and storage in {"decimal", "other"}:
            kind = "any"  # SQLite keeps numbers there, or whatever was written
        nullable = name in table.nullable or storage in NULL_NUMBERS
        columns.append(Column(name=name, kind=kind, nullable=nullable))
    return tuple(columns)
