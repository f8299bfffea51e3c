"""What the ledger's SQL runs on: a `Database` that does transactions, and their `Session`.

One text of SQL serves every kind. It writes parameters `:name`, and a few words in braces for what
the kinds call differently (`WORDS`). Knows no table and no kind of database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Value: TypeAlias = str | int | float | bytes | None
Found: TypeAlias = tuple[Any, ...]
"""A row as a database gives it; whoever asked knows what is in it."""

Result = TypeVar("Result")

WORDS: Final = ("now", "lock", "skip", "alone", "serial", "bytes", "clustered", "tables")
"""`{now}`: seconds by the clock of leases; read it with the parameter `:boot`, which names what
the clock counts from. `{lock}` and `{skip}` end a select whose rows are to be changed: others wait
for them, or pass them by. `{alone}`: a select behind which no other that asks so is at work.
`{serial}`, `{bytes}`: types of columns. `{clustered}`: ends a table that is kept in the order of
its key. `{tables}`: a select of the names of all tables."""


class Session(Protocol):
    """One transaction."""

    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> list[Found]:
        """Run a statement and return the rows it gives."""
        ...

    def change(self, sql: str, values: Mapping[str, Value] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> int:
        """Insert rows but those whose key is there already; return how many were inserted.

        At least one row; a column holds values of one type, or null.
        """
        ...


class Database(Protocol):
    """A place for tables. Threads may share one; their transactions follow each other.

    Work is a function that may be called more than once: it is tried again where its transaction
    could not be done, and is known not to have been.
    """

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Return what work found. It changes nothing, and sees what others commit meanwhile."""
        ...

    def write(
        self,
        work: Callable[[Session], Result],
        *,
        is_durable: bool = True,
        is_vital: bool = False,
    ) -> Result:
        """Do work in one transaction, or nothing of it where it raises.

        Args:
            work: what is to be done.
            is_durable: whether it must survive a power failure when this returns. What is not made
                durable is not lost to less, and becomes durable with the next that is.
            is_vital: whether it may use room that is kept back for when the disk is full.
        """
        ...

    def close(self) -> None:
        """Give the connection back; twice is fine."""
        ...
