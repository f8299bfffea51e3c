"""Rows that lie in blocks of Arrow's columns: row groups of Parquet, batches of Arrow's own files.

Owns `Blocks` and `told`: how rows are numbered over blocks, which spots there are, what a schema
may not have, and how damage is said. A spot is the number of a block and a row in it. Knows nothing
of how a block is read.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, final

from openautoglm.data.formats.arrow import arrow, column_of
from openautoglm.data.formats.format import START, Item, Spot
from openautoglm.errors import BadRowError, InputDecodeError, OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openautoglm.data.formats.arrow import Arrow
    from openautoglm.data.source import Column, Row


@final
class Blocks:
    """The blocks of one file.

    Args:
        name: of the file, for messages.
        schema: of its columns.
        counts: how many rows each block has.
        fix: what to do about a row that cannot be read.

    Raises:
        InputDecodeError: two columns have one name.
    """

    def __init__(self, name: str, schema: Arrow, counts: Sequence[int], *, fix: str) -> None:
        self._name = name
        self._schema = schema
        self._fix = fix
        self.counts = tuple(counts)
        self._before = [0, *accumulate(counts)]
        names = schema.names
        twice = sorted({column for column in names if names.count(column) > 1})
        if twice:
            raise InputDecodeError(
                f"`{name}` has the column `{twice[0]}` twice", fix="rename one of them"
            )

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the schema says."""
        return tuple(column_of(field) for field in self._schema)

    @property
    def rows(self) -> int:
        """What all blocks have."""
        return self._before[-1]

    def items(
        self, start: Spot, read: Callable[[int, int], Iterator[Row | Exception]]
    ) -> Iterator[Item]:
        """Yield the rows behind a spot.

        Args:
            start: the spot.
            read: yields the rows of a block, given its number, behind so many of them.
        """
        for block in range(start.at, len(self.counts)):
            skipped = start.behind if block == start.at else 0
            if skipped >= self.counts[block]:
                continue
            for count, row in enumerate(read(block, skipped), skipped + 1):
                end, number = Spot(block, count), self._before[block] + count
                if isinstance(row, Exception):
                    yield Item(end, number, None, self._bad(number, row))
                else:
                    yield Item(end, number, row)

    def has(self, spot: Spot) -> bool:
        """Whether there is such a block with so many rows."""
        if not self.counts:
            return spot == START
        return spot.at < len(self.counts) and spot.behind <= self.counts[spot.at]

    def _bad(self, number: int, cause: Exception) -> BadRowError:
        error = BadRowError(
            f"{self._name}:{number}: the row cannot be read: {str(cause) or type(cause).__name__}",
            fix=self._fix,
        )
        error.__cause__ = cause
        return error


@contextmanager
def told(problem: str, fix: str) -> Iterator[None]:
    """Say what Arrow says of a file that is damaged; what the system says is passed on."""
    try:
        yield
    except OpenAutoGLMError:
        raise
    except (arrow().ArrowException, OSError, EOFError) as cause:
        if isinstance(cause, OSError) and cause.errno is not None:
            raise
        raise InputDecodeError(problem, got=str(cause)[:200], fix=fix) from cause
