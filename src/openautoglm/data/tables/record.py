"""Rows of a database as records: `Records`. Knows no statements and no positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from openautoglm.data.columns import columns_of
from openautoglm.data.source import Column, Record
from openautoglm.data.tables.storage import read_value
from openautoglm.errors import BadRowError, InputNotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from openautoglm.data.source import Position
    from openautoglm.data.tables.database import Database
    from openautoglm.data.tables.selection import Selection

    Fields = tuple[object, ...]

SAMPLE_ROWS: Final = 100


@final
class Records:
    """Make records of what a selection's statements return."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def record(self, key: str, position: Position, fields: Fields) -> Record:
        """Return a row, or the reason why there is none.

        Raises:
            InputNotFoundError: columns were added or dropped since the source was opened.
        """
        name = f"{self._selection.name}:{key}"
        try:
            values = self._values(fields)
        except BadRowError as error:
            bad = BadRowError(f"{name}: {error.problem}", got=error.got, fix=error.fix)
            return Record(key=name, position=position, error=bad)
        return Record(key=name, position=position, values=values)

    def sampled(self, database: Database, connection: Connection) -> tuple[Column, ...]:
        """Return the columns of the first rows; all may be null further on."""
        rows = database.fetch(connection, self._selection.sample(limit=SAMPLE_ROWS))
        records = [self.record("", "", row) for row in rows]
        found = columns_of([record.values for record in records if record.error is None])
        kinds = {column.name: column.kind for column in found}
        return tuple(
            Column(name=name, kind=kinds.get(name, "any")) for name in self._selection.names
        )

    def _values(self, fields: Fields) -> dict[str, object]:
        chosen = self._selection
        if len(fields) != len(chosen.names):
            raise InputNotFoundError(
                "the columns are not those that were there when the source was opened",
                got=f"{len(fields)} instead of {len(chosen.names)} of {chosen.name}",
                fix="open it again",
            )
        values = {}
        for name, value in zip(chosen.names, fields, strict=True):
            try:
                values[name] = read_value(value, chosen.storages.get(name))
            except BadRowError as error:
                raise BadRowError(
                    f"the column `{name}`: {error.problem}", got=error.got, fix=error.fix
                ) from error
        return values
