"""A source divided into shards, put into the ledger as they are found.

Owns `Planner`. Workers may begin on the first shards while the last ones are not found yet; where
ids must be looked at, that is done before. Knows nothing of workers.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, final

from openautoglm.data.catalog import open_source
from openautoglm.errors import JobSpecError
from openautoglm.jobs.duplicates import Seen, id_of, repeated_hashes

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from openautoglm.data.source import Shard, Source
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.spec import JobSpec

AT_ONCE: Final = 64
"""Shards that are put into the ledger together."""


@final
class Planner:
    """Plan one job.

    Args:
        job: its id.
        spec: of it.
        stop: ends the planning early; a later one begins again and finds the same shards.
    """

    def __init__(self, job: str, spec: JobSpec, *, stop: threading.Event) -> None:
        self._job, self._spec, self._stop = job, spec, stop

    def plan(self, ledger: Ledger) -> bool:
        """Put all shards into the ledger; return whether it came to the end.

        Raises:
            JobSpecError: two rows have one id.
            OpenAutoGLMError: the source cannot be read.
        """
        source = open_source(self._spec.source)
        try:
            hashes = self._repeated(source)
            if self._stop.is_set():
                return False
            if hashes and self._spec.on_duplicate_id == "error":
                self._refuse_second(source, hashes)
            return self._add(ledger, source, hashes)
        finally:
            source.close()

    def _add(self, ledger: Ledger, source: Source, hashes: frozenset[int]) -> bool:
        seen = Seen(hashes)
        shards = source.shards(rows=self._spec.shard_rows)
        size = 1  # the first one at once, so that a worker can begin
        while batch := list(islice(shards, size)):
            found = {shard.index: self._only(source, shard, seen) for shard in batch}
            only = {index: kept for index, kept in found.items() if kept is not None}
            ledger.add_shards(self._job, batch, only=only)
            if self._stop.is_set():
                return False
            size = min(size * 2, AT_ONCE)
        ledger.end_plan(self._job)
        return True

    def _repeated(self, source: Source) -> frozenset[int]:
        """Return the hashes of ids that several rows may have; a stop ends the looking."""
        if self._spec.id_column is None or self._spec.on_duplicate_id == "allow":
            return frozenset()
        return repeated_hashes(text for _, text in self._ids(source) if text is not None)

    def _refuse_second(self, source: Source, hashes: frozenset[int]) -> None:
        seen = Seen(hashes)
        for key, text in self._ids(source):
            first = seen.before(text, key)
            if first is not None:
                raise JobSpecError(
                    f"two rows have the id {text!r} in `{self._spec.id_column}`",
                    got=f"{first} and {key}",
                    fix='make ids unique, or take the first row of each: on_duplicate_id="first"',
                )

    def _only(self, source: Source, shard: Shard, seen: Seen) -> tuple[int, ...] | None:
        """Return the ordinals of rows that are the first of their id; None where all are."""
        if not seen.is_looking or self._spec.id_column is None:
            return None
        column = self._spec.id_column
        records = enumerate(source.read(shard))
        found = [(n, seen.before(id_of(r, column), r.key)) for n, r in records]
        kept = tuple(n for n, first in found if first is None)
        return None if len(kept) == len(found) else kept

    def _ids(self, source: Source) -> Iterator[tuple[str, str | None]]:
        column = self._spec.id_column or ""
        for record in source.read():
            if self._stop.is_set():
                return
            yield record.key, id_of(record, column)
