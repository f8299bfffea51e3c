"""Rows of a shard, read to the end where what goes wrong may pass.

Owns `steadily`. Knows no kind of source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.errors.passing import asked_wait_s, may_pass
from openautoglm.jobs.running.retrying import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.data.source import Position, Record, Shard, Source

TRIES: Final = 5
FIRST_WAIT_S: Final = 0.5


def steadily(source: Source, shard: Shard, pause: Callable[[float], object]) -> Iterator[Record]:
    """Yield the rows of a shard; a reading that breaks off goes on behind the last row.

    Args:
        source: of the shard.
        shard: which rows.
        pause: waits for so many seconds, or less where the worker is told to stop.

    Raises:
        Exception: what `Source.read` raises, where it cannot pass or came five times in a row.
    """
    backoff = Backoff(FIRST_WAIT_S)
    behind: Position | None = None
    failures = 0
    while True:
        try:
            for record in source.read(shard, resume_from=behind):
                behind, failures = record.position, 0
                yield record
        except Exception as error:
            failures += 1
            if failures >= TRIES or not may_pass(error):
                raise
            pause(max(asked_wait_s(error), backoff.wait_s(failures)))
        else:
            return
