"""What a format of files is, to sources that read it and sinks that write it.

Owns `Format` and what it speaks in: `Spot`, `Item`, `RowFile`, `RowWriter`. Knows no format, and
nothing of how files are reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.data.source import Column, Row
    from openautoglm.data.transports.files import Stored
    from openautoglm.errors import BadRowError


class Spot(NamedTuple):
    """A place right behind a row of one file; spots sort as their rows do.

    Attributes:
        at: a byte offset or the number of a block, as the format counts.
        behind: how many lines of the file, or rows of the block, end there or before.
    """

    at: int
    behind: int


START = Spot(0, 0)


class Item(NamedTuple):
    """One row of a file, or the reason why there is none in its place.

    Attributes:
        end: the spot behind it.
        number: names it for people, counted from 1.
        values: None where `error` is set.
        error: None where `values` are.
    """

    end: Spot
    number: int
    values: Row | None
    error: BadRowError | None = None


class RowFile(Protocol):
    """One open file of rows. One thread at a time, one reading at a time."""

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """The columns as the file says them; None where it does not."""
        ...

    @property
    def rows(self) -> int | None:
        """How many rows the file says it has; None where it does not."""
        ...

    def items(self, start: Spot) -> Iterator[Item]:
        """Yield the rows behind a spot."""
        ...

    def ends(self, rows: int) -> Iterator[tuple[Spot, int]]:
        """Yield spots where a shard of about `rows` rows may end, each with its rows since."""
        ...

    def has(self, spot: Spot) -> bool:
        """Whether a row ends at a spot, as far as can be told without reading everything."""
        ...


class RowWriter(Protocol):
    """Writes rows to one file."""

    @property
    def size_bytes(self) -> int:
        """How many bytes it took so far."""
        ...

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows.

        Raises:
            BadRowError: one cannot be written; names it. None of them was taken.
        """
        ...

    def finish(self) -> None:
        """Have everything in the file."""
        ...

    def close(self) -> None:
        """Give back what was needed on the way; the file stays open."""
        ...


class Format(Protocol):
    """One format of files."""

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of its files' names, with their dots; the first is for new ones."""
        ...

    def opened(self, file: BinaryIO, stored: Stored) -> RowFile:
        """Read a file.

        Raises:
            InputDecodeError: it is no file of this format.
        """
        ...

    def writer(self, file: BinaryIO, folder: str | None) -> RowWriter:
        """Write a file; `folder` is where there is room for what is on its way."""
        ...

    def count(self, file: BinaryIO) -> int:
        """Return how many rows a file has that this format wrote."""
        ...
