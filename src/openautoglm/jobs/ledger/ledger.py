"""What a ledger of jobs does, for who uses one and who writes another.

Owns `Ledger`. Knows no database. Every method is one transaction: after it returns, what it did
survives a kill of any process and, for states, claims and commits, a power failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.data.sink import Receipt
    from openautoglm.data.source import Shard
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


class Ledger(Protocol):
    """Jobs, their shards and rows. Threads may share an instance; many processes at a time.

    Leases are counted by a clock that nobody sets: of the machine since it was started (SQLite), of
    the server (PostgreSQL). Methods raise `LedgerError` where the database cannot do them.
    """

    # jobs

    def add_job(
        self, job: str, *, name: str, spec: bytes, fingerprint: Mapping[str, str]
    ) -> JobRecord:
        """Add a job in the state `planned`, or return the one of that id where nothing differs.

        Raises:
            JobChangedError: there is one of that id, and it has another fingerprint or spec.
        """
        ...

    def job(self, job: str) -> JobRecord:
        """Return a job; a beginning of its id that no other has is enough.

        Raises:
            JobNotFoundError: none, or several begin so.
        """
        ...

    def jobs(self, *, limit: int = 50) -> list[JobRecord]:
        """Return the last jobs, the newest first."""
        ...

    def set_state(
        self, job: str, state: State, *, reason: str = "", among: frozenset[State]
    ) -> bool:
        """Change the state where it is one of `among`; return whether it was. Writes an event.

        A ledger in a file keeps some room back, so that this is done on a full disk, too.
        """
        ...

    def take_charge(self, job: str, owner: str, *, lease_s: float) -> bool:
        """Become, or stay, the one driver of a job; False where another one's lease holds."""
        ...

    def leave_charge(self, job: str, owner: str, *, is_gone: bool = False) -> None:
        """Give a job's driving back.

        Args:
            job: of which.
            owner: whose driving it was.
            is_gone: somebody else does it for a driver that was killed, which is evidence of kills
                from outside. A driver whose lease ran out counts likewise.
        """
        ...

    # shards

    def add_shards(
        self, job: str, shards: Sequence[Shard], *, only: Mapping[int, Sequence[int]] | None = None
    ) -> None:
        """Add planned shards; those there already stay as they are.

        Args:
            job: of which.
            shards: any number.
            only: by index of a shard: the ordinals that are asked for, where that is not all of
                them; it becomes `Claim.only`, and its length the shard's rows.
        """
        ...

    def end_plan(self, job: str) -> None:
        """Say that all shards are there."""
        ...

    def claim(
        self,
        job: str,
        owner: str,
        *,
        lease_s: float,
        among: tuple[int, int] = (0, 1),
        shard: int | None = None,
    ) -> Claim | None:
        """Take the next shard that is free or whose lease ran out; None where there is none now.

        Args:
            job: of which.
            owner: a name that no other process has or had.
            lease_s: for how long, until `journal` or `renew` prolongs it.
            among: (k, n) gives only shards whose index leaves k by n: static assignment.
            shard: this one and no other.

        A shard whose lease ran out counts as ended by `lost`. Nothing is given unless the job is
        `running`.
        """
        ...

    def renew(self, claims: Sequence[Claim], *, lease_s: float) -> tuple[State, list[Claim]]:
        """Prolong leases; return the job's state and the claims that are lost."""
        ...

    def journal(
        self, claim: Claim, rows: Sequence[RowOutcome], *, handed: int, lease_s: float
    ) -> State:
        """Keep what became of rows, and prolong the lease. Rows there already stay as they are.

        Args:
            claim: of their shard.
            rows: any number; a failed one goes into quarantine at once.
            handed: rows of the shard, in order, that were begun.
            lease_s: from now on.

        Returns:
            The job's state, so that a worker sees at once that it is paused.

        Raises:
            FencedError: the claim is lost; nothing was kept.
        """
        ...

    def answered(self, claim: Claim) -> frozenset[int]:
        """Return the ordinals of rows that have an outcome."""
        ...

    def outcomes(self, claim: Claim) -> Iterator[RowOutcome]:
        """Yield what became of the rows of a shard, by ordinal, to write its part of them.

        Before it returns, the shard's whole journal is made to survive a power failure. A row whose
        failure was planned once more has an empty payload.

        Raises:
            FencedError: the claim is lost.
        """
        ...

    def suspect(self, claim: Claim, ordinal: int | None) -> None:
        """Note, before it is begun, the only row that is worked on; None when it came back.

        A row that workers died of before, and after which another or none is noted, is cleared.

        Raises:
            FencedError: the claim is lost.
        """
        ...

    def absolve(self, claim: Claim) -> None:
        """Count bad endings of a shard from 0 again: what could be to blame came back.

        Raises:
            FencedError: the claim is lost.
        """
        ...

    def set_aside(self, claim: Claim, rows: Sequence[RowOutcome]) -> None:
        """Put rows that have an answer into quarantine: the sink does not take them.

        Args:
            claim: of their shard, whose part is being written.
            rows: failed ones, to take the place of those with an answer.

        Raises:
            FencedError: the claim is lost.
        """
        ...

    def commit(self, claim: Claim, receipt: Receipt | None) -> None:
        """End a shard: its part is in the sink. Its journal goes, its quarantine stays.

        Raises:
            FencedError: the claim is lost.
        """
        ...

    def leave(self, owner: str, ending: Ending) -> int:
        """Free all shards of an owner that is gone, or stops; return how many.

        Suspects of a worker that died are counted; of one that was killed or lost it is kept what
        it had, for `Claim.evidence`.
        """
        ...

    # looking

    def counts(self, job: str) -> Counts:
        """Return how far a job is."""
        ...

    def receipts(self, job: str) -> list[tuple[int, Receipt]]:
        """Return what was committed, by shard."""
        ...

    def quarantined(self, job: str) -> Iterator[Quarantined]:
        """Yield the rows that failed, by shard and ordinal."""
        ...

    def retry(self, job: str) -> int:
        """Plan all rows in quarantine once more, in shards of their own; return how many.

        They leave the quarantine. Where their shard is not committed yet they only leave its
        journal. What is known of kills among them is forgotten.
        """
        ...

    def note(self, kind: str, subject: str, data: Mapping[str, object]) -> None:
        """Write an event."""
        ...

    def events(self, subject: str, *, limit: int = 100) -> list[Event]:
        """Return the last events about a subject, the newest first."""
        ...

    def close(self) -> None:
        """Close the database; twice is fine."""
        ...
