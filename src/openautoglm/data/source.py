"""What a source of rows is, for whoever reads one and whoever writes a new kind.

Owns `Source` and what it speaks in: `Record`, `Shard`, `Position`, `Description`, `Column`. Knows
no kind of source. What a source does not promise: the order of its shards to each other, and that
what it reads stays as it is; `Description.fingerprint` tells whether it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, final

import msgspec

from openautoglm.errors import BadRowError  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.data.location import Location

Row: TypeAlias = Mapping[str, object]
"""Values by column: what JSON holds."""

Position: TypeAlias = str
"""A place between two rows of one source, opaque to all but that source; safe to keep."""

Kind: TypeAlias = Literal["text", "integer", "number", "boolean", "list", "object", "any"]


@final
class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column; `nullable` where a row may lack it or hold null."""

    name: str
    kind: Kind = "any"
    nullable: bool = True


@final
class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a source says of itself before it is read.

    Attributes:
        url: what it was opened as.
        columns: in order; from a sample where the source has no schema.
        fingerprint: by part (a file, a table): a text that changes when what is in it does.
        rows: how many there are, None where counting means reading.
        size_bytes: how much there is to read, None where that is not known.
        is_sampled: whether rows further on may hold other columns.
    """

    url: str
    columns: tuple[Column, ...]
    fingerprint: Mapping[str, str]
    rows: int | None = None
    size_bytes: int | None = None
    is_sampled: bool = False


@final
class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """A run of rows that can be read by itself.

    Attributes:
        index: counted from 0.
        start: behind which row it begins; None is the beginning of the source.
        stop: behind which row it ends; None is the end of the source. A source that can tell what
            is in a shard keeps a digest of it here, and refuses to read it where that is another;
            see `openautoglm.data.seal`.
        rows: how many records reading it yields, None where that is not known.
    """

    index: int
    start: Position | None = None
    stop: Position | None = None
    rows: int | None = None


_NOTHING: Final[Row] = MappingProxyType({})


@final
class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One row, or the reason why there is none in its place.

    Attributes:
        key: names the row for people and for good: the same row has the same key in every reading.
        position: the place right behind it; reading on from there yields the rows after it.
        values: empty where `error` is set.
        error: why the row cannot be read, or None.
    """

    key: str
    position: Position
    values: Row = _NOTHING
    error: BadRowError | None = None


class Source(Protocol):
    """Rows that can be read from any place on, again and again.

    Methods may be called from any thread; two readings at a time do not disturb each other.
    """

    def describe(self) -> Description:
        """Say what there is, without reading all of it."""
        ...

    def shards(self, *, rows: int) -> Iterator[Shard]:
        """Divide the source into shards of about `rows` rows.

        They cover every row once, in order, and are the same every time while the fingerprint is.
        A source that cannot be divided yields one shard. Rows are read no further than the shards
        that were taken.
        """
        ...

    def read(
        self, shard: Shard | None = None, *, resume_from: Position | None = None
    ) -> Iterator[Record]:
        """Yield the rows of a shard, or of the whole source, in order.

        Args:
            shard: one that `shards` yielded, also in another process.
            resume_from: the position of the last record that is not to come again.

        A row that cannot be read is a record with an error; the rows behind it follow.

        Raises:
            SourceChangedError: a position is none of what is there now.
            InputNotFoundError: what was there is gone.
        """
        ...

    def close(self) -> None:
        """Give back files and connections. Closing twice is fine; read no more afterwards."""
        ...


SourceOpener: TypeAlias = "Callable[[Location], Source]"
"""What the registry of sources holds by scheme. It raises `DataUrlError` or `InputNotFoundError`
where there is nothing to read."""
