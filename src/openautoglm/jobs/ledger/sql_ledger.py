"""A `Ledger` in an SQL database: each method is one transaction. Knows no kind of database."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, final

from openautoglm.errors import JobStateError
from openautoglm.jobs.ledger import jobs as of_jobs
from openautoglm.jobs.ledger import rows as of_rows
from openautoglm.jobs.ledger import shards as of_shards

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.data.sink import Receipt
    from openautoglm.data.source import Shard
    from openautoglm.jobs.ledger.database import Database
    from openautoglm.jobs.ledger.records import (
        Claim,
        Counts,
        Ending,
        Event,
        JobRecord,
        Quarantined,
        RowOutcome,
        State,
    )


@final
class SqlLedger:
    """Keep jobs, shards and rows in tables; see `Ledger`.

    What a kill of a process cannot undo but a power failure may, until the next durable write: the
    journal, leases, suspects and notes. `outcomes` and `commit` are durable, and with them all that
    was written before.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_job(
        self, job: str, *, name: str, spec: bytes, fingerprint: Mapping[str, str]
    ) -> JobRecord:
        """Add a job; see `Ledger`."""
        return self._database.write(
            partial(of_jobs.add, job=job, name=name, spec=spec, fingerprint=fingerprint)
        )

    def job(self, job: str) -> JobRecord:
        """Return a job; see `Ledger`."""
        return self._database.read(partial(of_jobs.find, job=job))

    def jobs(self, *, limit: int = 50) -> list[JobRecord]:
        """Return the last jobs; see `Ledger`."""
        return self._database.read(partial(of_jobs.last, limit=limit))

    def set_state(
        self, job: str, state: State, *, reason: str = "", among: frozenset[State]
    ) -> bool:
        """Change the state; see `Ledger`."""
        return self._database.write(
            partial(of_jobs.set_state, job=job, state=state, reason=reason, among=among),
            is_vital=True,
        )

    def take_charge(self, job: str, owner: str, *, lease_s: float) -> bool:
        """Become the one driver; see `Ledger`."""
        return self._database.write(
            partial(of_jobs.take_charge, job=job, owner=owner, lease_s=lease_s), is_durable=False
        )

    def leave_charge(self, job: str, owner: str, *, is_gone: bool = False) -> None:
        """Give the driving back; see `Ledger`."""
        self._database.write(
            partial(of_jobs.leave_charge, job=job, owner=owner, is_gone=is_gone), is_durable=False
        )

    def add_shards(
        self, job: str, shards: Sequence[Shard], *, only: Mapping[int, Sequence[int]] | None = None
    ) -> None:
        """Add planned shards; see `Ledger`."""
        self._database.write(partial(of_shards.add, job=job, shards=shards, only=only or {}))

    def end_plan(self, job: str) -> None:
        """Say that all shards are there; see `Ledger`."""
        self._database.write(partial(of_jobs.end_plan, job=job))

    def claim(
        self,
        job: str,
        owner: str,
        *,
        lease_s: float,
        among: tuple[int, int] = (0, 1),
        shard: int | None = None,
    ) -> Claim | None:
        """Take the next shard; see `Ledger`."""
        return self._database.write(
            partial(
                of_shards.claim, job=job, owner=owner, lease_s=lease_s, among=among, shard=shard
            )
        )

    def renew(self, claims: Sequence[Claim], *, lease_s: float) -> tuple[State, list[Claim]]:
        """Prolong leases; see `Ledger`."""
        if not claims:
            raise JobStateError("there is no claim to renew", fix="name at least one")
        return self._database.write(
            partial(of_shards.renew, claims=claims, lease_s=lease_s), is_durable=False
        )

    def journal(
        self, claim: Claim, rows: Sequence[RowOutcome], *, handed: int, lease_s: float
    ) -> State:
        """Keep what became of rows; see `Ledger`."""
        keep = partial(of_rows.journal, held=claim, handed=handed, lease_s=lease_s)
        try:
            return self._database.write(lambda session: keep(session, rows=rows), is_durable=False)
        except of_rows.SomeAreThereError:
            return self._database.write(
                lambda session: keep(session, rows=of_rows.new_ones(session, claim, rows)),
                is_durable=False,
            )

    def answered(self, claim: Claim) -> frozenset[int]:
        """Return the ordinals of rows that have an outcome; see `Ledger`."""
        return self._database.read(partial(of_rows.answered, held=claim))

    def outcomes(self, claim: Claim) -> Iterator[RowOutcome]:
        """Return what became of the rows of a shard; see `Ledger`."""
        return self._pages(self._database.write(partial(of_rows.settle, held=claim)))

    def suspect(self, claim: Claim, ordinal: int | None) -> None:
        """Note the only row that is worked on; see `Ledger`."""
        self._database.write(
            partial(of_shards.suspect, held=claim, ordinal=ordinal), is_durable=False
        )

    def absolve(self, claim: Claim) -> None:
        """Count bad endings from 0 again; see `Ledger`."""
        self._database.write(partial(of_shards.absolve, held=claim))

    def set_aside(self, claim: Claim, rows: Sequence[RowOutcome]) -> None:
        """Put rows that have an answer into quarantine; see `Ledger`."""
        self._database.write(partial(of_rows.set_aside, held=claim, rows=rows))

    def commit(self, claim: Claim, receipt: Receipt | None) -> None:
        """End a shard; see `Ledger`."""
        self._database.write(partial(of_shards.commit, held=claim, receipt=receipt))

    def leave(self, owner: str, ending: Ending) -> int:
        """Free all shards of an owner; see `Ledger`."""
        return self._database.write(partial(of_shards.leave, owner=owner, ending=ending))

    def counts(self, job: str) -> Counts:
        """Return how far a job is; see `Ledger`."""
        return self._database.read(partial(of_rows.counts, job=job))

    def receipts(self, job: str) -> list[tuple[int, Receipt]]:
        """Return what was committed; see `Ledger`."""
        return self._database.read(partial(of_rows.receipts, job=job))

    def quarantined(self, job: str) -> Iterator[Quarantined]:
        """Yield the rows that failed; see `Ledger`."""
        place = (-1, -1)
        while True:
            found = self._database.read(partial(of_rows.quarantine, job=job, after=place))
            if not found:
                return
            yield from found
            place = (found[-1].shard, found[-1].ordinal)

    def retry(self, job: str) -> int:
        """Plan all rows in quarantine once more; see `Ledger`."""
        return self._database.write(partial(of_rows.retry, job=job))

    def note(self, kind: str, subject: str, data: Mapping[str, object]) -> None:
        """Write an event; see `Ledger`."""
        self._database.write(
            partial(of_jobs.note, kind=kind, subject=subject, data=data), is_durable=False
        )

    def events(self, subject: str, *, limit: int = 100) -> list[Event]:
        """Return the last events about a subject; see `Ledger`."""
        return self._database.read(partial(of_jobs.events, subject=subject, limit=limit))

    def close(self) -> None:
        """Close the database; see `Ledger`."""
        self._database.close()

    def _pages(self, num: int) -> Iterator[RowOutcome]:
        after = -1
        while True:
            found = self._database.read(partial(of_rows.page, num=num, after=after))
            if not found:
                return
            yield from found
            after = found[-1].ordinal
