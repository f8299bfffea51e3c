"""Shards whose rows all have an outcome: their part is written and committed, in a thread.

Owns `Committer`. What is in the sink of a shard was committed when every row of it was in the
ledger; so where a part is there already, by an attempt that died before the ledger heard of it, it
is taken as it is. Knows nothing of rows under way.
"""

from __future__ import annotations

import threading
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, Self, final

import msgspec

from openautoglm.data.catalog import open_sink
from openautoglm.data.sink import Part
from openautoglm.errors import FencedError, SinkConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from openautoglm.data.sink import Receipt, Sink
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import Claim
    from openautoglm.jobs.running.open_shard import OpenShard

BATCH: Final = 200
"""Rows that are given to a sink at a time."""
END_S: Final = 5.0
"""How long an ending worker waits for a commit; one that comes later is found by the next."""

_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


class Committed(NamedTuple):
    """What became of a shard: it is committed, or lost where `is_lost`, or `error` says why not."""

    shard: OpenShard
    is_lost: bool = False
    error: Exception | None = None


@final
class Committer:
    """Commit shards one after another.

    Args:
        ledger: holds their outcomes.
        sink: URL of the parts.
        wake: tells the keeper that something is done.
    """

    def __init__(self, ledger: Ledger, sink: str, wake: Callable[[], None]) -> None:
        self._ledger, self._sink, self._wake = ledger, sink, wake
        self._waiting: SimpleQueue[OpenShard | None] = SimpleQueue()
        self._done: SimpleQueue[Committed] = SimpleQueue()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="openautoglm-commit", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Begin no further commit, and wait for the one under way."""
        self._is_ending = True
        self._waiting.put(None)
        self._thread.join(END_S)

    def put(self, shard: OpenShard) -> None:
        """Have a shard committed."""
        self._waiting.put(shard)

    def done(self) -> Iterator[Committed]:
        """Yield what was done since this was asked last."""
        while not self._done.empty():
            yield self._done.get()

    def _run(self) -> None:
        while (shard := self._waiting.get()) is not None:
            if self._is_ending:
                continue
            self._done.put(self._commit(shard))
            self._wake()

    def _commit(self, shard: OpenShard) -> Committed:
        try:
            commit(self._ledger, shard.claim, self._sink)
        except FencedError:
            return Committed(shard, is_lost=True)
        except Exception as error:  # noqa: BLE001 - a sink may raise anything; the worker ends with it
            return Committed(shard, error=error)
        return Committed(shard)


def commit(ledger: Ledger, claim: Claim, sink: str) -> None:
    """Write the part of a shard whose rows all have an outcome, and end the shard.

    Raises:
        FencedError: another worker has the shard.
        OutputWriteError: the part cannot be written.
        BadRowError: the sink does not take a row.
    """
    rows = (_decode(row.payload) for row in ledger.outcomes(claim) if row.outcome == "ok")
    first = next(rows, None)
    receipt = None if first is None else _written(claim, sink, first, rows)
    ledger.commit(claim, receipt)


def _written(
    claim: Claim, url: str, first: Mapping[str, object], rest: Iterator[Mapping[str, object]]
) -> Receipt:
    part = Part(job=claim.job, shard=claim.shard.index, attempt=claim.attempt)
    sink = open_sink(url, part=part)
    try:
        found = sink.committed() if claim.attempt > 1 else None
        return _filled(sink, first, rest) if found is None else found
    finally:
        sink.abort()


def _filled(
    sink: Sink, first: Mapping[str, object], rest: Iterator[Mapping[str, object]]
) -> Receipt:
    batch = [first, *islice(rest, BATCH - 1)]
    while batch:
        sink.write(batch)
        batch = list(islice(rest, BATCH))
    try:
        return sink.commit()
    except SinkConflictError:
        found = sink.committed()
        if found is None:
            raise
        return found
