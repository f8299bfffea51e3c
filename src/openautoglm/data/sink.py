"""What a sink of rows is: all of a part becomes visible at once and once only, or nothing of it.

Owns `Sink` and what it speaks in: `Part`, `Receipt`. Knows no kind of sink.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, final

import msgspec

from openautoglm.errors import DataUrlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openautoglm.data.location import Location
    from openautoglm.data.source import Row

JOB: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@final
class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a job's output a sink takes.

    Attributes:
        job: letters, digits, `_`, `-` and dots, at most 100.
        shard: counted from 0.
        attempt: counted from 1; of all attempts at a shard one is ever committed.
    """

    job: str
    shard: int
    attempt: int = 1

    def __post_init__(self) -> None:
        if JOB.fullmatch(self.job) and self.shard >= 0 and self.attempt >= 1:
            return
        raise DataUrlError(
            "this names no part of a job's output",
            got=f"job={self.job!r}, shard={self.shard}, attempt={self.attempt}",
            fix="job is letters, digits, _ - and dots; shard counts from 0, attempt from 1",
        )


@final
class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was committed.

    Attributes:
        url: where it lies.
        rows: how many rows.
        size_bytes: how many bytes, 0 where the sink does not count them.
        digest: sha256 of them, in hex; empty where the sink has none.
    """

    url: str
    rows: int
    size_bytes: int = 0
    digest: str = ""


class Sink(Protocol):
    """Takes the rows of one part, or of a whole output. One thread at a time.

    Nobody sees a row before `commit`; after it, all of them, also after a power failure. Without a
    part, `commit` puts the rows in the place of what was there. With a part, the first attempt that
    commits wins and stays, whatever processes die or come back: this is what makes a job's output
    exactly once.
    """

    def committed(self) -> Receipt | None:
        """Return what was committed of this part, by this or another attempt; None for nothing.

        Without a part: what this sink has committed.
        """
        ...

    def write(self, rows: Sequence[Row]) -> None:
        """Take rows, in order.

        Raises:
            BadRowError: a row cannot be written; names it. None of `rows` was taken.
            OutputWriteError: no room, or not allowed. The sink is of no use then; abort it.
            SinkConflictError: after `commit` or `abort`.
        """
        ...

    def commit(self) -> Receipt:
        """Make all rows visible at once and for good; again returns the same receipt.

        Raises:
            OutputWriteError: they cannot be kept; nothing is visible.
            SinkConflictError: another attempt was committed before, or the sink was aborted.
        """
        ...

    def abort(self) -> None:
        """Forget what was written; after `commit` and when called again, do nothing."""
        ...


SinkOpener: TypeAlias = "Callable[[Location, Part | None], Sink]"
"""What the registry of sinks holds by scheme. It raises `DataUrlError` where nothing can be put,
and where it takes no parts but gets one."""


@contextmanager
def writing(sink: Sink) -> Iterator[Sink]:
    """Commit a sink at the end of a block, abort it where the block raises.

    Example:
        >>> from openautoglm.data import open_sink, open_source, writing
        >>> with writing(open_sink("memory://letters")) as sink:
        ...     sink.write([{"letter": "a"}, {"letter": "b"}])
        >>> [record.values["letter"] for record in open_source("memory://letters").read()]
        ['a', 'b']
        >>> from openautoglm.data import MEMORY
        >>> MEMORY.drop("letters")
    """
    try:
        yield sink
        sink.commit()
    except BaseException:
        sink.abort()
        raise
