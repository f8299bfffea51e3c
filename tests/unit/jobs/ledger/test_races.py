"""Many do the same at a time, each by a connection of its own: one of them does it."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from openautoglm.data import Shard
from openautoglm.jobs.ledger.records import RowOutcome
from openautoglm.jobs.ledger.sql_ledger import SqlLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.ledger.records import State

    from .conftest import Opens

Result = TypeVar("Result")
MANY: Final = 4
ROUNDS: Final = 12
LONG_S: Final = 1000.0
PLANNED: Final[frozenset[State]] = frozenset({"planned"})


def at_once(ledgers: list[SqlLedger], act: Callable[[SqlLedger], Result]) -> list[Result]:
    """Let all act when all are ready; return what they did."""
    start = threading.Barrier(len(ledgers))
    done: list[Result] = []

    def run(own: SqlLedger) -> None:
        start.wait()
        done.append(act(own))

    threads = [threading.Thread(target=run, args=(own,)) for own in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == len(ledgers)
    return done


def test_each_shard_is_given_once(opens: Opens) -> None:
    ledgers = [opens() for _ in range(MANY)]
    ledger = ledgers[0]
    ledger.add_job("r", name="n", spec=b"{}", fingerprint={})
    ledger.add_shards("r", [Shard(index=at) for at in range(60)])
    ledger.set_state("r", "running", among=PLANNED)

    def race(own: SqlLedger) -> list[int]:
        got = []
        while (claim := own.claim("r", f"w{id(own)}", lease_s=LONG_S)) is not None:
            got.append(claim.shard.index)
            if claim.shard.index % 2:
                own.commit(claim, None)
        return got

    got = at_once(ledgers, race)
    assert sorted(index for one in got for index in one) == list(range(60))
    assert ledger.counts("r").shards_done == 30


def test_a_state_is_changed_by_one(opens: Opens) -> None:
    ledgers = [opens() for _ in range(MANY)]
    for turn in range(ROUNDS):
        job = f"j{turn}"
        ledgers[0].add_job(job, name="n", spec=b"{}", fingerprint={})
        begin = partial(SqlLedger.set_state, job=job, state="running", among=PLANNED)
        changed = at_once(ledgers, begin)
        assert sum(changed) == 1
        assert len(ledgers[0].events(job)) == 1


def test_a_job_is_added_by_one_and_driven_by_one(opens: Opens) -> None:
    ledgers = [opens() for _ in range(MANY)]
    for turn in range(ROUNDS):
        job = f"j{turn}"

        def begin(own: SqlLedger, job: str = job) -> bool:
            own.add_job(job, name="n", spec=b"{}", fingerprint={"a": "1"})
            return own.take_charge(job, f"d{id(own)}", lease_s=LONG_S)

        assert sum(at_once(ledgers, begin)) == 1
    assert len(ledgers[0].jobs()) == ROUNDS


def test_failed_rows_are_planned_again_by_one(opens: Opens) -> None:
    ledgers = [opens() for _ in range(MANY)]
    ledger = ledgers[0]
    for turn in range(ROUNDS):
        job = f"j{turn}"
        ledger.add_job(job, name="n", spec=b"{}", fingerprint={})
        ledger.add_shards(job, [Shard(index=0, rows=2)])
        ledger.end_plan(job)
        ledger.set_state(job, "running", among=PLANNED)
        claim = ledger.claim(job, "w", lease_s=LONG_S)
        assert claim is not None
        rows = [RowOutcome(ordinal=at, key="k", outcome="failed", payload=b"{}") for at in range(2)]
        ledger.journal(claim, rows, handed=2, lease_s=LONG_S)
        ledger.commit(claim, None)
        assert sorted(at_once(ledgers, partial(SqlLedger.retry, job=job))) == [0, 0, 0, 2]
        counts = ledger.counts(job)
        assert (counts.shards, counts.failed) == (2, 0)
