"""What the ledger holds, as values: jobs, claims on shards, answered rows, what went wrong.

Knows nothing of SQL, of processes, or of what rows mean.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import Final, Literal, TypeAlias, final

import msgspec

from openautoglm.data.source import Shard  # noqa: TC001 - msgspec reads the annotations

State: TypeAlias = Literal["planned", "running", "paused", "done", "failed", "cancelled"]
"""Of a job. `planned` was submitted and not begun; `paused`, `failed` and `cancelled` keep what was
done, and can be resumed."""

ENDED: Final[frozenset[State]] = frozenset({"done", "failed", "cancelled"})

Outcome: TypeAlias = Literal["ok", "failed"]
"""Of a row: it has an answer, or it is in quarantine with the reason."""

Ending: TypeAlias = Literal["crashed", "killed", "lost", "returned"]
"""How a worker left its shards: by a signal of its own making or an exit code, or by the kernel for
want of memory; by SIGKILL, which anybody may send; its lease ran out, nobody knows why; it gave
them back unharmed. Only the first three count against a shard."""


@final
class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the ledger knows it.

    Attributes:
        id: letters, digits, `-`, `_` and dots; also the name of its parts.
        name: for people.
        spec: its description, JSON.
        fingerprint: by part: a text that changes when what the job works on, or with, does.
        state: of the job.
        reason: why it is in that state; empty where that goes without saying.
        is_planned: whether all its shards are known.
        created_s: when it was submitted, by the wall clock, seconds since 1970.
        changed_s: when its state changed last.
    """

    id: str
    name: str
    spec: bytes
    fingerprint: Mapping[str, str]
    state: State
    reason: str
    is_planned: bool
    created_s: float
    changed_s: float


@final
class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is, exactly.

    Attributes:
        shards: planned so far; `shards_done` of them are committed.
        rows: planned so far, where every shard knows its rows; None otherwise.
        ok: rows with an answer.
        failed: rows in quarantine.
        tokens: computed for them, prompts included.
    """

    shards: int
    shards_done: int
    rows: int | None
    ok: int
    failed: int
    tokens: int

    @property
    def done(self) -> int:
        """Rows that need no further work."""
        return self.ok + self.failed


@final
class Met(msgspec.Struct, frozen=True):
    """What a worker that was killed or lost did with a shard it had.

    Attributes:
        owner: its name.
        handed: rows of the shard, in order, that were known to be begun.
        alone: ordinal of the only row it worked on; -1 where that was of another shard; None where
            there may have been several.
    """

    owner: str
    handed: int
    alone: int | None


@final
class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job's processes that were killed or lost, as it bears on one shard.

    Attributes:
        killed: workers and drivers of the job, each once.
        here: those that had this shard.
        tries: how often a row of the job was begun alone.
        hits: how often the process was killed or lost meanwhile.
        rows_hit: rows this happened to.
        cleared: such rows that came back when they were tried again.
    """

    killed: int = 0
    here: tuple[Met, ...] = ()
    tries: int = 0
    hits: int = 0
    rows_hit: int = 0
    cleared: int = 0


@final
class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that one worker may work on until another attempt begins.

    Attributes:
        job: of the shard.
        shard: which rows.
        only: ordinals in the shard that are asked for; None for all. Shards of rows that are tried
            again have it.
        owner: who has it.
        attempt: counted from 1.
        crashes: attempts before this one that ended badly, one after another.
        handed: rows of it, in order, that earlier attempts are known to have begun.
        suspects: by ordinal: how often a worker died while this row was the only one it worked on.
        certain: those suspects whose worker ended by itself at least once (`crashed`). Of the
            others it is not known: they were killed from outside, or their lease ran out.
        evidence: for and against the suspects; empty where there are none.
    """

    job: str
    shard: Shard
    only: tuple[int, ...] | None
    owner: str
    attempt: int
    crashes: int
    handed: int
    suspects: Mapping[int, int]
    certain: frozenset[int] = frozenset()
    evidence: Evidence = Evidence()


@final
class RowOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row.

    Attributes:
        ordinal: its place in the shard, from 0.
        key: names it for people: its id, or the source's own key.
        outcome: "ok" or "failed".
        payload: JSON: the row for the sink, or the error as `{code, problem, got, fix}`.
        tries: how often it was tried.
        tokens: computed for it, prompt included.
        values: JSON of the row as it was read, of a failed one; empty where it could not be, or is
            too large to keep.
    """

    ordinal: int
    key: str
    outcome: Outcome
    payload: bytes
    tries: int = 1
    tokens: int = 0
    values: bytes = b""


@final
class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A row that failed for good, and why.

    Attributes:
        shard: index of its shard.
        ordinal: its place there.
        key: names it for people.
        error: JSON `{code, problem, got, fix}`.
        tries: how often it was tried.
        values: JSON of the row as it was read; may be empty.
    """

    shard: int
    ordinal: int
    key: str
    error: bytes
    tries: int
    values: bytes


@final
class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, for histories.

    Attributes:
        at_s: by the wall clock, seconds since 1970.
        kind: such as `job.state` or `worker.died`.
        subject: id of a job, or name of a schedule.
        data: JSON.
    """

    at_s: float
    kind: str
    subject: str
    data: bytes
