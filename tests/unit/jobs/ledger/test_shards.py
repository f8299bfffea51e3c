"""Claims, leases, fencing and blame, in each kind of database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import Receipt, Shard
from openautoglm.errors import FencedError, JobNotFoundError, JobStateError
from openautoglm.jobs.ledger.deaths import PROBE
from openautoglm.jobs.ledger.records import Claim, Ending, Evidence, Met, RowOutcome

if TYPE_CHECKING:
    from openautoglm.jobs.ledger.records import State
    from openautoglm.jobs.ledger.sql_ledger import SqlLedger


LONG_S = 1000.0
ENDED_S = -1.0  # a lease that has run out when it is given
RUNNING: frozenset[State] = frozenset({"running"})


def taken(ledger: SqlLedger, job: str, owner: str = "w", lease_s: float = LONG_S) -> Claim:
    claim = ledger.claim(job, owner, lease_s=lease_s)
    assert claim is not None
    return claim


def outcome(ordinal: int) -> RowOutcome:
    return RowOutcome(ordinal=ordinal, key=f"k{ordinal}", outcome="ok", payload=b"{}", tokens=1)


def test_shards_are_given_in_order_and_each_to_one(ledger: SqlLedger, job: str) -> None:
    claims = [taken(ledger, job, f"w{at}") for at in range(3)]
    assert [claim.shard for claim in claims] == [
        Shard(index=at, start=f"p{at}", rows=5) for at in range(3)
    ]
    assert [(claim.owner, claim.attempt, claim.crashes) for claim in claims] == [
        ("w0", 1, 0),
        ("w1", 1, 0),
        ("w2", 1, 0),
    ]
    assert ledger.claim(job, "w3", lease_s=LONG_S) is None


def test_shards_that_are_there_stay_as_they_are(ledger: SqlLedger, job: str) -> None:
    ledger.add_shards(job, [Shard(index=2, start="else", rows=9), Shard(index=3, rows=7)])
    ledger.add_shards(job, [])
    assert ledger.counts(job).rows == 22
    with pytest.raises(JobNotFoundError):
        ledger.add_shards("unknown", [Shard(index=0)])


def test_a_shard_may_ask_for_some_of_its_rows(ledger: SqlLedger, job: str) -> None:
    ledger.add_shards(job, [Shard(index=3, start="x", rows=9)], only={3: [1, 4]})
    claim = ledger.claim(job, "w", lease_s=LONG_S, shard=3)
    assert claim is not None
    assert claim.only == (1, 4)
    assert claim.shard.rows == 2
    assert ledger.counts(job).rows == 17


def test_a_share_is_every_nth_shard_and_one_may_be_named(ledger: SqlLedger, job: str) -> None:
    ledger.add_shards(job, [Shard(index=at) for at in range(3, 7)])
    odd = [ledger.claim(job, "w", lease_s=LONG_S, among=(1, 2)) for _ in range(4)]
    assert [claim and claim.shard.index for claim in odd] == [1, 3, 5, None]
    named = ledger.claim(job, "v", lease_s=LONG_S, shard=4)
    assert named is not None
    assert named.shard.index == 4
    assert ledger.claim(job, "v", lease_s=LONG_S, shard=4) is None


@pytest.mark.parametrize("state", ["planned", "paused", "done", "failed", "cancelled"])
def test_a_job_that_does_not_run_gives_nothing(ledger: SqlLedger, job: str, state: State) -> None:
    ledger.set_state(job, state, among=RUNNING)
    assert ledger.claim(job, "w", lease_s=LONG_S) is None


def test_a_lease_that_ran_out_gives_the_shard_to_another_and_fences_the_first(
    ledger: SqlLedger, job: str
) -> None:
    first = taken(ledger, job, "w1", ENDED_S)
    second = taken(ledger, job, "w2")
    assert (second.shard.index, second.attempt, second.crashes) == (0, 2, 1)
    state, lost = ledger.renew([first, second], lease_s=LONG_S)
    assert (state, lost) == ("running", [first])
    before = ledger.counts(job)
    with pytest.raises(FencedError, match="no longer this worker's"):
        ledger.journal(first, [outcome(0)], handed=1, lease_s=LONG_S)
    with pytest.raises(FencedError):
        ledger.suspect(first, 0)
    with pytest.raises(FencedError):
        ledger.absolve(first)
    with pytest.raises(FencedError):
        ledger.outcomes(first)
    with pytest.raises(FencedError):
        ledger.commit(first, None)
    assert ledger.counts(job) == before
    assert ledger.answered(second) == frozenset()


def test_a_lease_that_ran_out_is_good_until_another_has_the_shard(
    ledger: SqlLedger, job: str
) -> None:
    claim = taken(ledger, job, "w1", ENDED_S)
    ledger.journal(claim, [outcome(0)], handed=1, lease_s=LONG_S)
    assert taken(ledger, job, "w2").shard.index == 1


def test_renewing_keeps_a_shard_and_tells_the_state(ledger: SqlLedger, job: str) -> None:
    claim = taken(ledger, job, "w1", ENDED_S)
    ledger.set_state(job, "paused", among=RUNNING)
    assert ledger.renew([claim], lease_s=LONG_S) == ("paused", [])
    ledger.set_state(job, "running", among=frozenset({"paused"}))
    assert taken(ledger, job, "w2").shard.index == 1
    with pytest.raises(JobStateError):
        ledger.renew([], lease_s=LONG_S)


def test_the_wall_clock_may_jump(
    ledger: SqlLedger, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    taken(ledger, job, "w1")
    for jump_s in (1e9, -1e9):
        monkeypatch.setattr(time, "time", lambda at=now + jump_s: at)
        assert taken(ledger, job, "w2").shard.index > 0


@pytest.mark.parametrize(
    ("ending", "crashes", "suspects", "certain"),
    [
        ("crashed", 1, {3: 1}, {3}),
        ("killed", 1, {3: 1}, set()),
        ("lost", 1, {3: 1}, set()),
        ("returned", 0, {}, set()),
    ],
)
def test_an_ending_counts_against_the_shard_and_the_row_that_was_noted(
    ledger: SqlLedger,
    job: str,
    ending: Ending,
    crashes: int,
    suspects: dict[int, int],
    certain: set[int],
) -> None:
    ledger.suspect(taken(ledger, job, "w1"), 3)
    assert ledger.leave("w1", ending) == 1
    assert ledger.leave("w1", ending) == 0
    claim = taken(ledger, job, "w2")
    assert (claim.shard.index, claim.attempt, claim.crashes) == (0, 2, crashes)
    assert claim.suspects == suspects
    assert claim.certain == certain


def test_blame_adds_up_over_attempts_and_a_row_that_came_back_has_none(
    ledger: SqlLedger, job: str
) -> None:
    ledger.suspect(taken(ledger, job, "w1"), 3)
    ledger.leave("w1", "killed")
    again = taken(ledger, job, "w2")
    ledger.suspect(again, 3)
    ledger.leave("w2", "crashed")
    third = taken(ledger, job, "w3", ENDED_S)
    assert (third.crashes, third.suspects) == (2, {3: 2})
    assert third.certain == {3}
    ledger.suspect(third, 4)
    fourth = taken(ledger, job, "w4")
    assert (fourth.crashes, fourth.suspects) == (3, {3: 2, 4: 1})
    assert fourth.certain == {3}
    ledger.suspect(fourth, 0)
    ledger.suspect(fourth, None)
    ledger.absolve(fourth)
    ledger.leave("w4", "crashed")
    fifth = taken(ledger, job, "w5")
    assert (fifth.crashes, fifth.suspects) == (1, {3: 2, 4: 1})


def test_leaving_frees_the_shards_of_one_owner_alone(ledger: SqlLedger, job: str) -> None:
    taken(ledger, job, "w1")
    taken(ledger, job, "w2")
    taken(ledger, job, "w1")
    assert ledger.leave("w1", "returned") == 2
    assert ledger.leave("", "crashed") == 0
    assert [taken(ledger, job, "w3").shard.index for _ in range(2)] == [0, 2]
    assert ledger.claim(job, "w3", lease_s=LONG_S) is None


def test_a_committed_shard_is_never_given_again(ledger: SqlLedger, job: str) -> None:
    claim = taken(ledger, job, "w1", ENDED_S)
    receipt = Receipt(url="file:///out/part-0", rows=5, size_bytes=9, digest="d")
    ledger.commit(claim, receipt)
    ledger.commit(claim, receipt)  # by who did not hear that it was done
    assert ledger.receipts(job) == [(0, receipt)]
    assert ledger.leave("w1", "crashed") == 0
    assert taken(ledger, job, "w2").shard.index == 1
    for write in (
        lambda: ledger.journal(claim, [outcome(0)], handed=1, lease_s=LONG_S),
        lambda: ledger.suspect(claim, 1),
    ):
        with pytest.raises(FencedError):
            write()
    assert ledger.counts(job).shards_done == 1


def test_a_row_is_blamed_for_the_attempt_it_was_noted_in_alone(ledger: SqlLedger, job: str) -> None:
    ledger.suspect(taken(ledger, job, "w1", ENDED_S), 3)
    assert taken(ledger, job, "w2", ENDED_S).suspects == {3: 1}
    third = taken(ledger, job, "w3")
    assert (third.crashes, third.suspects) == (2, {3: 1})
    ledger.suspect(third, 2)
    ledger.leave("w3", "returned")
    taken(ledger, job, "w4")
    ledger.leave("w4", "crashed")
    assert taken(ledger, job, "w5").suspects == {3: 1}


def test_a_commit_is_not_repeated_by_who_lost_the_shard_before(ledger: SqlLedger, job: str) -> None:
    first = taken(ledger, job, "w1", ENDED_S)
    second = taken(ledger, job, "w2")
    ledger.commit(second, Receipt(url="u", rows=5))
    with pytest.raises(FencedError):
        ledger.commit(first, Receipt(url="v", rows=5))
    assert ledger.receipts(job) == [(0, Receipt(url="u", rows=5))]


def test_a_claim_may_be_repeated_by_its_owner_under_a_new_attempt(
    ledger: SqlLedger, job: str
) -> None:
    first = taken(ledger, job, "w1", ENDED_S)
    second = taken(ledger, job, "w1")
    assert second.attempt == 2
    with pytest.raises(FencedError):
        ledger.journal(first, [outcome(0)], handed=1, lease_s=LONG_S)
    ledger.journal(second, [outcome(0)], handed=1, lease_s=LONG_S)


def test_what_workers_had_that_were_killed_is_kept_for_and_against_a_suspect(
    ledger: SqlLedger, job: str
) -> None:
    first = taken(ledger, job, "w1")
    ledger.journal(first, [outcome(0)], handed=3, lease_s=LONG_S)
    assert taken(ledger, job, "w1").shard.index == 1
    ledger.leave("w1", "killed")
    ledger.suspect(taken(ledger, job, "w2"), 1)
    ledger.leave("w2", "lost")
    ledger.leave("w2", "killed")  # by who hears of it later
    claim = taken(ledger, job, "w3")
    assert claim.suspects == {1: 1}
    assert claim.evidence == Evidence(
        killed=2, here=(Met("w1", 3, None), Met("w2", 3, 1)), tries=1, hits=1, rows_hit=1
    )
    other = taken(ledger, job, "w3")
    assert (other.shard.index, other.suspects, other.evidence) == (1, {}, Evidence())
    ledger.suspect(claim, 2)
    ledger.suspect(claim, 1)
    ledger.suspect(claim, 1)
    ledger.suspect(claim, None)  # it came back
    ledger.leave("w3", "returned")
    assert taken(ledger, job, "w4").evidence == Evidence(
        killed=2,
        here=(Met("w1", 3, None), Met("w2", 3, 1)),
        tries=4,
        hits=1,
        rows_hit=1,
        cleared=1,
    )


def test_a_worker_that_had_a_row_of_another_shard_alone_is_no_evidence_against_this_one(
    ledger: SqlLedger, job: str
) -> None:
    for at, ending in enumerate(("killed", "lease")):
        claims = [taken(ledger, job, f"w{at}") for _ in range(2)]
        ledger.suspect(claims[at], 4)
        if ending == "killed":
            ledger.leave("w0", "killed")
        else:
            ledger.renew(claims, lease_s=ENDED_S)
    first, second = (taken(ledger, job, "w3") for _ in range(2))
    assert [met.alone for met in first.evidence.here] == [4, -1]
    assert [met.alone for met in second.evidence.here] == [-1, 4]


def test_rows_that_are_tried_again_begin_without_the_evidence_against_them(
    ledger: SqlLedger, job: str
) -> None:
    ledger.suspect(taken(ledger, job, "w1"), 3)
    ledger.leave("w1", "killed")
    claim = taken(ledger, job, "w2")
    failed = RowOutcome(ordinal=3, key="k3", outcome="failed", payload=b"{}")
    ledger.journal(claim, [failed], handed=5, lease_s=LONG_S)
    assert ledger.retry(job) == 1
    ledger.suspect(taken(ledger, job, "w3"), 3)
    ledger.leave("w3", "killed")
    assert taken(ledger, job, "w4").evidence.killed == 1


def test_a_driver_that_did_not_give_its_job_back_is_evidence_of_kills(
    ledger: SqlLedger, job: str
) -> None:
    assert ledger.take_charge(job, "d1", lease_s=LONG_S)
    assert ledger.take_charge(job, "d1", lease_s=ENDED_S)
    assert ledger.take_charge(job, "d2", lease_s=LONG_S)
    ledger.leave_charge(job, "d1", is_gone=True)  # it is not in charge
    ledger.leave_charge(job, "d2", is_gone=True)
    assert ledger.take_charge(job, "d3", lease_s=LONG_S)
    ledger.leave_charge(job, "d3")
    ledger.suspect(taken(ledger, job, "w1"), 3)
    ledger.leave("w1", "killed")
    evidence = taken(ledger, job, "w2").evidence
    assert (evidence.killed, len(evidence.here)) == (3, 1)


def test_who_only_looked_for_a_driver_is_no_evidence_of_kills(ledger: SqlLedger, job: str) -> None:
    assert ledger.take_charge(job, f"{PROBE}1", lease_s=ENDED_S)
    assert ledger.take_charge(job, f"{PROBE}2", lease_s=LONG_S)
    ledger.leave_charge(job, f"{PROBE}2", is_gone=True)
    ledger.suspect(taken(ledger, job, "w1"), 3)
    ledger.leave("w1", "killed")
    assert taken(ledger, job, "w2").evidence.killed == 1
