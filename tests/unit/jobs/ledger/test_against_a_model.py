"""Any order of claims, journals, deaths, zombies and commits, against a model in plain Python.

What it shows: never two holders of a shard; who lost a claim changes nothing; every row's first
outcome stays; no row is lost or counted twice; counts, blame and quarantine are the model's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from openautoglm.data import Shard
from openautoglm.errors import FencedError
from openautoglm.jobs.ledger.records import (
    Claim,
    Counts,
    Ending,
    Evidence,
    Met,
    RowOutcome,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.ledger.sql_ledger import SqlLedger

ROWS = 6
LIVE_S = 1000.0
ENDED_S = -1.0
JOBS = itertools.count()
Leases = st.sampled_from([LIVE_S, LIVE_S, ENDED_S])


@dataclass
class ModelShard:
    """What the ledger should know of a shard."""

    index: int
    wanted: tuple[int, ...]
    is_again: bool = False
    owner: str = ""
    is_live: bool = False
    attempt: int = 0
    crashes: int = 0
    handed: int = 0
    noted: int | None = None
    suspects: dict[int, int] = field(default_factory=dict)
    certain: set[int] = field(default_factory=set)
    tries: int = 0
    cleared: int = 0
    journal: dict[int, RowOutcome] = field(default_factory=dict)
    quarantine: dict[int, RowOutcome] = field(default_factory=dict)
    ok: int = 0
    tokens: int = 0
    is_settled: bool = False
    is_done: bool = False

    def is_held_by(self, claim: Claim) -> bool:
        return (self.owner, self.attempt) == (claim.owner, claim.attempt) and not self.is_done

    def end(self, ending: Ending) -> None:
        if ending != "returned":
            self.crashes += 1
            if self.noted is not None:
                self.suspects[self.noted] = self.suspects.get(self.noted, 0) + 1
                if ending == "crashed":
                    self.certain.add(self.noted)
        self.owner, self.is_live, self.noted = "", False, None


class LedgerMachine(RuleBasedStateMachine):
    """Does to ledger and model the same, and compares them after each step."""

    def __init__(self, ledgers: tuple[SqlLedger, SqlLedger]) -> None:
        super().__init__()
        self.ledgers = ledgers
        self.job = f"job-{next(JOBS)}"
        self.is_running = True
        self.shards: list[ModelShard] = []
        self.deaths: dict[tuple[int, str, int], tuple[int, int | None]] = {}
        self.claims: list[Claim] = []

    @property
    def ledger(self) -> SqlLedger:
        """One connection after the other, since processes have their own."""
        self.ledgers = (self.ledgers[1], self.ledgers[0])
        return self.ledgers[0]

    @initialize(count=st.integers(1, 4))
    def plan(self, count: int) -> None:
        self.ledger.add_job(self.job, name="n", spec=b"{}", fingerprint={})
        self.ledger.add_shards(self.job, [Shard(index=at, rows=ROWS) for at in range(count)])
        self.ledger.end_plan(self.job)
        self.ledger.set_state(self.job, "running", among=frozenset({"planned"}))
        self.shards = [ModelShard(at, tuple(range(ROWS))) for at in range(count)]

    @rule(name=st.integers(0, 3), lease_s=Leases)
    def claim(self, name: int, lease_s: float) -> None:
        owner = f"{self.job}-w{name}"
        claim = self.ledger.claim(self.job, owner, lease_s=lease_s)
        free = [shard for shard in self.shards if not shard.is_done and not shard.is_live]
        if not free or not self.is_running:
            assert claim is None
            return
        shard = free[0]
        if shard.owner:
            self.note_deaths(shard.owner)
            shard.end("lost")
        shard.owner, shard.is_live, shard.attempt = owner, lease_s > 0, shard.attempt + 1
        assert claim == Claim(
            job=self.job,
            shard=Shard(index=shard.index, rows=len(shard.wanted)),
            only=shard.wanted if shard.is_again else None,
            owner=owner,
            attempt=shard.attempt,
            crashes=shard.crashes,
            handed=shard.handed,
            suspects=shard.suspects,
            certain=frozenset(shard.certain),
            evidence=self.evidence(shard.index) if shard.suspects else Evidence(),
        )
        assert self.ledger.answered(claim) == set(shard.journal)
        self.claims.append(claim)

    def note_deaths(self, owner: str) -> None:
        """Note what somebody who was killed or lost had."""
        had = [s for s in self.shards if s.owner == owner and not s.is_done]
        is_alone = any(shard.noted is not None for shard in had)
        for shard in had:
            alone = -1 if is_alone and shard.noted is None else shard.noted
            self.deaths.setdefault((shard.index, owner, shard.attempt), (shard.handed, alone))

    def evidence(self, index: int) -> Evidence:
        """Return what the ledger should know of the job's deaths."""
        alone = [(at, row) for (at, *_), (_, row) in self.deaths.items() if row not in {None, -1}]
        entries = sorted(self.deaths.items())
        return Evidence(
            killed=len({owner for _, owner, _ in self.deaths}),
            here=tuple(Met(owner, *what) for (at, owner, _), what in entries if at == index),
            tries=sum(shard.tries for shard in self.shards),
            hits=len(alone),
            rows_hit=len(set(alone)),
            cleared=sum(shard.cleared for shard in self.shards),
        )

    def one_of(self, data: st.DataObject) -> tuple[Claim, ModelShard]:
        """Draw a claim: more often than not a new one, else perhaps a zombie's."""
        claim = self.claims[-1 - data.draw(st.integers(0, min(5, len(self.claims) - 1)))]
        return claim, self.shards[claim.shard.index]

    def fenced(self, claim: Claim, act: Callable[[], object]) -> bool:
        """Act for a claim; return whether it was one, and see that it fails where it was none."""
        if self.shards[claim.shard.index].is_held_by(claim):
            act()
            return True
        with pytest.raises(FencedError):
            act()
        return False

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        ordinals=st.lists(st.integers(0, ROWS - 1), max_size=ROWS),
        outcomes=st.integers(0, 2**ROWS - 1),
        lease_s=Leases,
        mark=st.integers(0, 9),
    )
    def journal(
        self, data: st.DataObject, ordinals: list[int], outcomes: int, lease_s: float, mark: int
    ) -> None:
        claim, shard = self.one_of(data)
        rows = [
            RowOutcome(
                ordinal=at,
                key=f"k{at}",
                outcome="ok" if outcomes >> at & 1 else "failed",
                payload=b"%d" % mark,
                tokens=mark,
            )
            for at in ordinals
            if at in shard.wanted
        ]
        handed = max(ordinals, default=-1) + 1
        if not self.fenced(
            claim, lambda: self.ledger.journal(claim, rows, handed=handed, lease_s=lease_s)
        ):
            return
        shard.is_live, shard.handed = lease_s > 0, max(shard.handed, handed)
        for row in rows:
            if row.ordinal not in shard.journal:
                shard.journal[row.ordinal] = row
                shard.tokens += row.tokens
                if row.outcome == "ok":
                    shard.ok += 1
                else:
                    shard.quarantine[row.ordinal] = row

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), lease_s=Leases)
    def renew(self, data: st.DataObject, lease_s: float) -> None:
        claim, shard = self.one_of(data)
        state, lost = self.ledger.renew([claim], lease_s=lease_s)
        assert state == ("running" if self.is_running else "paused")
        assert lost == ([] if shard.is_held_by(claim) else [claim])
        if not lost:
            shard.is_live = lease_s > 0

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), ordinal=st.none() | st.integers(0, ROWS - 1))
    def suspect(self, data: st.DataObject, ordinal: int | None) -> None:
        claim, shard = self.one_of(data)
        if self.fenced(claim, lambda: self.ledger.suspect(claim, ordinal)):
            shard.tries += ordinal is not None
            shard.cleared += shard.noted in shard.suspects and shard.noted != ordinal
            shard.noted = ordinal

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def absolve(self, data: st.DataObject) -> None:
        claim, shard = self.one_of(data)
        if self.fenced(claim, lambda: self.ledger.absolve(claim)):
            shard.crashes = 0

    @rule(
        name=st.integers(0, 3),
        ending=st.sampled_from(["crashed", "killed", "lost", "returned"]),
    )
    def leave(self, name: int, ending: Ending) -> None:
        owner = f"{self.job}-w{name}"
        owned = [shard for shard in self.shards if shard.owner == owner and not shard.is_done]
        assert self.ledger.leave(owner, ending) == len(owned)
        if ending in {"killed", "lost"}:
            self.note_deaths(owner)
        for shard in owned:
            shard.end(ending)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def write_the_part(self, data: st.DataObject) -> None:
        claim, shard = self.one_of(data)
        if not self.fenced(claim, lambda: self.ledger.outcomes(claim)):
            return
        shard.is_settled = True
        found = list(self.ledger.outcomes(claim))
        assert [row.ordinal for row in found] == sorted(shard.journal)
        for row in found:
            kept = shard.journal[row.ordinal]
            planned_again = kept.outcome == "failed" and row.ordinal not in shard.quarantine
            assert row.outcome == kept.outcome
            assert row.payload == (b"" if planned_again else kept.payload)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), ordinal=st.integers(0, ROWS - 1))
    def set_aside(self, data: st.DataObject, ordinal: int) -> None:
        claim, shard = self.one_of(data)
        if not shard.is_settled:
            return  # no worker does so before its part is written
        row = RowOutcome(ordinal=ordinal, key="", outcome="failed", payload=b"refused")
        kept = shard.journal.get(ordinal)
        if not self.fenced(claim, lambda: self.ledger.set_aside(claim, [row])):
            return
        if kept is not None and kept.outcome == "ok":
            shard.journal[ordinal] = shard.quarantine[ordinal] = row
            shard.ok -= 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        claim, shard = self.one_of(data)
        if shard.is_held_by(claim) and set(shard.journal) != set(shard.wanted):
            return  # no worker does so
        if shard.is_done and (shard.owner, shard.attempt) == (claim.owner, claim.attempt):
            self.ledger.commit(claim, None)
        elif self.fenced(claim, lambda: self.ledger.commit(claim, None)):
            shard.is_done, shard.journal = True, {}

    @rule()
    def pause_or_resume(self) -> None:
        was: State = "running" if self.is_running else "paused"
        now: State = "paused" if self.is_running else "running"
        assert self.ledger.set_state(self.job, now, among=frozenset({was}))
        self.is_running = not self.is_running

    @rule()
    def retry(self) -> None:
        assert self.ledger.retry(self.job) == sum(len(one.quarantine) for one in self.shards)
        for shard in tuple(self.shards):
            failed, shard.quarantine = tuple(sorted(shard.quarantine)), {}
            if failed:
                gone = {owner for at, owner, _ in self.deaths if at == shard.index}
                self.deaths = {key: d for key, d in self.deaths.items() if key[1] not in gone}
            if failed and (shard.is_settled or shard.is_done):
                self.shards.append(ModelShard(len(self.shards), failed, is_again=True))
            elif failed:
                for ordinal in failed:
                    del shard.journal[ordinal]
                shard.owner, shard.is_live, shard.noted = "", False, None
                shard.crashes, shard.suspects, shard.certain = 0, {}, set()

    @invariant()
    def counts_are_the_models(self) -> None:
        assert self.ledger.counts(self.job) == Counts(
            shards=len(self.shards),
            shards_done=sum(shard.is_done for shard in self.shards),
            rows=sum(len(shard.wanted) for shard in self.shards if not shard.is_again),
            ok=sum(shard.ok for shard in self.shards),
            failed=sum(len(shard.quarantine) for shard in self.shards),
            tokens=sum(shard.tokens for shard in self.shards),
        )

    @invariant()
    def quarantine_is_the_models(self) -> None:
        told = [(row.shard, row.ordinal, row.error) for row in self.ledger.quarantined(self.job)]
        assert told == [
            (shard.index, at, shard.quarantine[at].payload)
            for shard in self.shards
            for at in sorted(shard.quarantine)
        ]

    def teardown(self) -> None:
        """Do all that is left, and see that every row has one outcome and none has two."""
        if not self.shards:
            return
        if not self.is_running:
            self.pause_or_resume()
        for shard in self.shards:
            self.ledger.leave(shard.owner, "returned")
        while (claim := self.ledger.claim(self.job, f"{self.job}-end", lease_s=LIVE_S)) is not None:
            shard = self.shards[claim.shard.index]
            left = [at for at in shard.wanted if at not in self.ledger.answered(claim)]
            rows = [RowOutcome(ordinal=at, key="", outcome="ok", payload=b"") for at in left]
            self.ledger.journal(claim, rows, handed=ROWS, lease_s=LIVE_S)
            assert [row.ordinal for row in self.ledger.outcomes(claim)] == list(shard.wanted)
            self.ledger.commit(claim, None)
        counts = self.ledger.counts(self.job)
        assert counts.done == counts.rows
        assert counts.shards_done == counts.shards


def run(ledgers: tuple[SqlLedger, SqlLedger], **limits: Any) -> None:  # noqa: ANN401 - hypothesis's own
    run_state_machine_as_test(
        lambda: LedgerMachine(ledgers),  # type: ignore[arg-type]  # a factory does, it is documented
        settings=settings(
            deadline=None, suppress_health_check=list(HealthCheck), database=None, **limits
        ),
    )


def test_any_order_of_calls_does_what_the_model_says(
    ledger: SqlLedger, opens: Callable[[], SqlLedger], ledger_url: str
) -> None:
    is_file = ledger_url.startswith("sqlite")
    examples, steps = (25, 35) if is_file else (10, 30)
    run((ledger, opens()), max_examples=examples, stateful_step_count=steps)
