"""Rows, counts, quarantine and trying again, in each kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.data import Receipt, Shard
from openautoglm.errors import FencedError, JobNotFoundError, JobStateError
from openautoglm.jobs.ledger.records import Claim, Counts, RowOutcome

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.sql_ledger import SqlLedger

LONG_S = 1000.0


def taken(ledger: SqlLedger, job: str, owner: str = "w") -> Claim:
    claim = ledger.claim(job, owner, lease_s=LONG_S)
    assert claim is not None
    return claim


def ok(ordinal: int, payload: bytes = b'{"a":1}', tokens: int = 3) -> RowOutcome:
    return RowOutcome(
        ordinal=ordinal, key=f"k{ordinal}", outcome="ok", payload=payload, tokens=tokens
    )


def failed(ordinal: int, tokens: int = 1) -> RowOutcome:
    return RowOutcome(
        ordinal=ordinal,
        key=f"k{ordinal}",
        outcome="failed",
        payload=b'{"code":"OAG1"}',
        tries=5,
        tokens=tokens,
        values=b'{"text":"x"}',
    )


def keep(ledger: SqlLedger, claim: Claim, *rows: RowOutcome, handed: int = 0) -> None:
    assert ledger.journal(claim, rows, handed=handed, lease_s=LONG_S) == "running"


def test_outcomes_come_back_by_ordinal_as_they_were_kept(ledger: SqlLedger, job: str) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, ok(4), failed(1))
    keep(ledger, claim, ok(0, payload=bytes(range(256))))
    assert ledger.answered(claim) == {0, 1, 4}
    assert list(ledger.outcomes(claim)) == [ok(0, payload=bytes(range(256))), failed(1), ok(4)]


def test_many_rows_come_back_in_order(ledger: SqlLedger, job: str) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, *(ok(at) for at in reversed(range(1001))))
    assert [row.ordinal for row in ledger.outcomes(claim)] == list(range(1001))


def test_the_first_outcome_of_a_row_stays_and_is_counted_once(ledger: SqlLedger, job: str) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, ok(0), failed(1))
    keep(ledger, claim, failed(0), ok(1), ok(2), ok(2, payload=b"second"), ok(3))
    assert list(ledger.outcomes(claim)) == [ok(0), failed(1), ok(2), ok(3)]
    counts = ledger.counts(job)
    assert (counts.ok, counts.failed, counts.tokens) == (3, 1, 3 + 1 + 3 + 3)
    assert [row.ordinal for row in ledger.quarantined(job)] == [1]


def test_keys_that_no_database_takes_are_made_fit(ledger: SqlLedger, job: str) -> None:
    claim = taken(ledger, job)
    keys = ("a\0b", "\udc80", "键")
    rows = [
        RowOutcome(ordinal=at, key=key, outcome="failed", payload=b"{}")
        for at, key in enumerate(keys)
    ]
    keep(ledger, claim, *rows)
    assert [row.key for row in ledger.quarantined(job)] == [
        "a\N{REPLACEMENT CHARACTER}b",
        "?",
        "键",
    ]


def test_what_was_handed_only_grows_and_the_next_attempt_knows_it(
    ledger: SqlLedger, job: str
) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, ok(0), handed=4)
    keep(ledger, claim, handed=2)
    ledger.leave("w", "killed")
    assert taken(ledger, job).handed == 4


def test_a_journal_tells_that_the_job_was_paused_and_keeps_the_rows(
    ledger: SqlLedger, job: str
) -> None:
    claim = taken(ledger, job)
    ledger.set_state(job, "paused", among=frozenset({"running"}))
    assert ledger.journal(claim, [ok(0)], handed=1, lease_s=LONG_S) == "paused"
    assert ledger.counts(job).ok == 1


def test_the_next_attempt_finds_what_the_last_one_kept(ledger: SqlLedger, job: str) -> None:
    first = taken(ledger, job)
    keep(ledger, first, ok(0), failed(3))
    ledger.leave("w", "crashed")
    second = taken(ledger, job)
    assert second.shard == first.shard
    assert ledger.answered(second) == {0, 3}
    keep(ledger, second, ok(1))
    with pytest.raises(FencedError):
        ledger.journal(first, [ok(2)], handed=3, lease_s=LONG_S)
    assert [row.ordinal for row in ledger.outcomes(second)] == [0, 1, 3]


def test_counts_are_of_all_shards_and_rows_are_known_when_every_shard_knows(
    ledger: SqlLedger, job: str
) -> None:
    nothing = Counts(shards=3, shards_done=0, rows=15, ok=0, failed=0, tokens=0)
    assert ledger.counts(job) == nothing
    claim = taken(ledger, job)
    keep(ledger, claim, *(ok(at) for at in range(4)), failed(4))
    ledger.commit(claim, None)
    assert ledger.counts(job) == Counts(shards=3, shards_done=1, rows=15, ok=4, failed=1, tokens=13)
    ledger.add_shards(job, [Shard(index=3)])
    assert ledger.counts(job).rows is None
    with pytest.raises(JobNotFoundError):
        ledger.counts("unknown")


def test_a_job_without_shards_counts_nothing(ledger: SqlLedger) -> None:
    ledger.add_job("e", name="n", spec=b"{}", fingerprint={})
    assert ledger.counts("e") == Counts(shards=0, shards_done=0, rows=0, ok=0, failed=0, tokens=0)


def test_a_commit_drops_the_journal_and_keeps_the_quarantine(ledger: SqlLedger, job: str) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, ok(0), failed(1))
    ledger.commit(claim, Receipt(url="u", rows=1))
    assert ledger.answered(claim) == frozenset()
    (row,) = ledger.quarantined(job)
    assert (row.shard, row.ordinal, row.key, row.tries) == (0, 1, "k1", 5)
    assert (row.error, row.values) == (b'{"code":"OAG1"}', b'{"text":"x"}')
    assert ledger.receipts(job) == [(0, Receipt(url="u", rows=1))]


def test_a_long_quarantine_is_told_by_shard_and_ordinal(ledger: SqlLedger, job: str) -> None:
    for _ in range(3):
        claim = taken(ledger, job)
        keep(ledger, claim, *(failed(at) for at in range(250)))
    told = [(row.shard, row.ordinal) for row in ledger.quarantined(job)]
    assert told == [(shard, at) for shard in range(3) for at in range(250)]


def test_rows_of_committed_shards_are_tried_again_in_shards_of_their_own(
    ledger: SqlLedger, job: str
) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, ok(0), failed(1), ok(2), failed(3), ok(4))
    ledger.commit(claim, None)
    assert ledger.retry(job) == 2
    assert ledger.retry(job) == 0
    assert list(ledger.quarantined(job)) == []
    assert ledger.counts(job) == Counts(shards=4, shards_done=1, rows=15, ok=3, failed=0, tokens=11)
    again = ledger.claim(job, "w", lease_s=LONG_S, shard=3)
    assert again is not None
    assert again.shard == Shard(index=3, start="p0", rows=2)
    assert (again.only, again.attempt) == ((1, 3), 1)
    assert ledger.answered(again) == frozenset()
    keep(ledger, again, ok(1), failed(3))
    ledger.commit(again, None)
    assert [(row.shard, row.ordinal) for row in ledger.quarantined(job)] == [(3, 3)]
    assert ledger.retry(job) == 1
    last = ledger.claim(job, "w", lease_s=LONG_S, shard=4)
    assert last is not None
    assert (last.only, last.shard.start) == ((3,), "p0")
    counts = ledger.counts(job)
    assert (counts.rows, counts.ok, counts.failed) == (15, 4, 0)


def test_rows_of_a_shard_under_way_leave_its_journal_and_its_worker_loses_it(
    ledger: SqlLedger, job: str
) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, ok(0), failed(1))
    ledger.suspect(claim, 1)
    ledger.leave("w", "crashed")
    claim = taken(ledger, job)
    assert ledger.retry(job) == 1
    with pytest.raises(FencedError):
        ledger.journal(claim, [ok(2)], handed=3, lease_s=LONG_S)
    next_one = taken(ledger, job)
    assert next_one.shard.index == 0
    assert ledger.answered(next_one) == {0}
    assert (next_one.crashes, next_one.suspects) == (0, {})
    assert ledger.counts(job).failed == 0
    assert ledger.counts(job).shards == 3


def test_a_shard_whose_part_may_be_in_the_sink_keeps_its_journal(
    ledger: SqlLedger, job: str
) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, ok(0), failed(1))
    list(ledger.outcomes(claim))  # its part is written now, and its worker is killed
    ledger.leave("w", "killed")
    assert ledger.retry(job) == 1
    second = taken(ledger, job)
    assert second.shard.index == 0
    assert ledger.answered(second) == {0, 1}
    assert [(row.ordinal, row.outcome) for row in ledger.outcomes(second)] == [
        (0, "ok"),
        (1, "failed"),
    ]
    again = ledger.claim(job, "w2", lease_s=LONG_S, shard=3)
    assert again is not None
    assert again.only == (1,)


def test_nothing_is_tried_again_behind_shards_that_are_not_known_yet(ledger: SqlLedger) -> None:
    ledger.add_job("p", name="n", spec=b"{}", fingerprint={})
    ledger.add_shards("p", [Shard(index=0)])
    ledger.set_state("p", "running", among=frozenset({"planned"}))
    claim = taken(ledger, "p")
    keep(ledger, claim, failed(0))
    ledger.commit(claim, None)
    with pytest.raises(JobStateError, match="still being planned"):
        ledger.retry("p")
    ledger.end_plan("p")
    assert ledger.job("p").is_planned
    assert ledger.retry("p") == 1


def test_answers_that_the_sink_refuses_are_set_aside_once_and_may_be_tried_again(
    ledger: SqlLedger, job: str
) -> None:
    claim = taken(ledger, job)
    keep(ledger, claim, ok(0), ok(1), failed(2))
    list(ledger.outcomes(claim))
    for _ in range(2):
        ledger.set_aside(claim, [failed(1), failed(2), failed(4)])
    assert [(row.ordinal, row.outcome) for row in ledger.outcomes(claim)] == [
        (0, "ok"),
        (1, "failed"),
        (2, "failed"),
    ]
    assert [(row.ordinal, row.values) for row in ledger.quarantined(job)] == [
        (1, b'{"text":"x"}'),
        (2, b'{"text":"x"}'),
    ]
    counts = ledger.counts(job)
    assert (counts.ok, counts.failed, counts.tokens) == (1, 2, 7)
    assert ledger.retry(job) == 2
    ledger.commit(claim, None)
    assert ledger.counts(job).ok == 1
    with pytest.raises(FencedError):
        ledger.set_aside(claim, [failed(0)])
    assert list(ledger.quarantined(job)) == []
