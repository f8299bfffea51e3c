"""What differs between the databases, for who speaks to them: `Dialect`.

Owns the protocol and no database. Statements have one text otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Engine

    from openautoglm.data.location import Location
    from openautoglm.data.tables.storage import Storage


class Dialect(Protocol):
    """One kind of database; has no state."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def mark(self) -> str:
        """Stands for a value in a statement."""
        ...

    @property
    def types(self) -> Mapping[Storage, str]:
        """What columns are declared as, by what they hold."""
        ...

    @property
    def is_typed(self) -> bool:
        """Whether its driver gives and takes booleans, lists and objects as they are."""
        ...

    def reading(self, location: Location, options: Sequence[str]) -> Engine:
        """Return an engine whose connections cannot write.

        Args:
            location: of the database.
            options: those that are not the database's own.

        Raises:
            DataUrlError: an option is unknown, or the URL names no database.
            InputNotFoundError: there is no such file.
            MissingExtraError: a package is not installed.
        """
        ...

    def writing(self, location: Location, options: Sequence[str]) -> Engine:
        """Return an engine each of whose transactions may write; raises as `reading`.

        Raises:
            OutputWriteError: nothing can be written there.
        """
        ...

    def is_new(self, location: Location) -> bool:
        """Whether there is no database yet, and writing would make it."""
        ...

    def escaped(self, query: str) -> str:
        """Return a query so that nothing in it stands for a value."""
        ...

    def census(self, key: Sequence[str]) -> str:
        """Return an expression that tells sets of keys apart, whatever their order.

        Args:
            key: expressions, none of them null.
        """
        ...

    def row_id(self, columns: Sequence[str]) -> str:
        """Return what names a row of a table without a key; empty where nothing does."""
        ...

    def check_name(self, name: str) -> str:
        """Return why a table or a column cannot have a name; empty where it can."""
        ...

    def same_name(self, name: str) -> str:
        """Return a form of a column's name that names of one column share."""
        ...

    def check_text(self, text: str) -> str:
        """Return why a text cannot be stored; empty where it can."""
        ...

    def locks(self, table: str, *, is_new: bool) -> Sequence[tuple[str, tuple[object, ...]]]:
        """Return statements after which nobody else makes, or replaces, a table."""
        ...
