"""Shards whose rows all have an outcome: their part is written and committed, in a thread.

Owns `Committer`. What is in the sink of a shard was committed when every row of it was in the
ledger; so where a part is there already, by an attempt that died before the ledger heard of it, it
is taken as it is. Knows nothing of rows under way.
"""

from __future__ import annotations

import threading
from itertools import chain, islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, Self, final

import msgspec

from openautoglm.data.catalog import open_sink
from openautoglm.data.sink import Part
from openautoglm.errors import BadRowError, FencedError, SinkConflictError
from openautoglm.jobs.running.told import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from openautoglm.data.sink import Receipt, Sink
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import Claim, RowOutcome
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

    Rows that the sink does not take go into quarantine.

    Raises:
        FencedError: another worker has the shard.
        OutputWriteError: the part cannot be written.
    """
    rows = (row for row in ledger.outcomes(claim) if row.outcome == "ok")
    first = next(rows, None)
    receipt = None if first is None else _written(ledger, claim, sink, chain((first,), rows))
    ledger.commit(claim, receipt)


def _written(ledger: Ledger, claim: Claim, url: str, rows: Iterator[RowOutcome]) -> Receipt | None:
    part = Part(job=claim.job, shard=claim.shard.index, attempt=claim.attempt)
    sink = open_sink(url, part=part)
    try:
        found = sink.committed() if claim.attempt > 1 else None
        return found or _filled(ledger, claim, sink, rows)
    finally:
        sink.abort()


def _filled(ledger: Ledger, claim: Claim, sink: Sink, rows: Iterator[RowOutcome]) -> Receipt | None:
    taken = 0
    refused: list[RowOutcome] = []
    while batch := list(islice(rows, BATCH)):
        refusals = _put(sink, batch)
        taken += len(batch) - len(refusals)
        refused += refusals
    if refused:  # before the part is there: who finds it takes it for whole
        ledger.set_aside(claim, refused)
    if not taken:
        return None
    try:
        return sink.commit()
    except SinkConflictError:
        found = sink.committed()
        if found is None:
            raise
        return found


def _put(sink: Sink, batch: Sequence[RowOutcome]) -> list[RowOutcome]:
    """Write rows; return those that the sink does not take, with its reason."""
    try:
        sink.write([_decode(row.payload) for row in batch])
    except BadRowError:
        return [refusal for row in batch if (refusal := _put_one(sink, row)) is not None]
    return []


def _put_one(sink: Sink, row: RowOutcome) -> RowOutcome | None:
    try:
        sink.write([_decode(row.payload)])
    except BadRowError as error:
        fault = msgspec.json.encode(fault_of(error))
        return msgspec.structs.replace(row, outcome="failed", payload=fault)
    return None
