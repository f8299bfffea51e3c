"""The loop that holds a worker together: all that is asked of the ledger while rows are worked on.

Owns `Keeper`. It writes outcomes, keeps leases, claims the next shard before the last one is
drained, hands over what is complete, and ends when there is nothing left or it is told to. Threads
never wait for the ledger, and the ledger is asked by one thread at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, final

from openautoglm.errors import FencedError, LedgerError
from openautoglm.jobs.orders import Report
from openautoglm.jobs.running.told import fault_of

if TYPE_CHECKING:
    import threading

    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import Claim, RowOutcome, State
    from openautoglm.jobs.orders import Orders, Why
    from openautoglm.jobs.running.cache import AnswerCache
    from openautoglm.jobs.running.committing import Committer
    from openautoglm.jobs.running.crew import Crew
    from openautoglm.jobs.running.feed import Feed
    from openautoglm.jobs.running.journal_buffer import JournalBuffer
    from openautoglm.jobs.running.open_shard import OpenShard

FLUSH_S: Final = 0.05
"""How long an outcome waits at most before it is written."""
STATE_S: Final = 1.0
"""How old the job's state may be, as it is known here."""
IDLE_S: Final = (0.05, 0.5)
"""How long to wait, at first and at last, where no shard is free."""
OPEN_SHARDS: Final = 6
"""Shards at most; most of the time two, more where rows wait to be tried again."""
GRACE_S: Final = 5.0
"""How long rows under way may take to end, where a worker is told to stop."""

Opener: TypeAlias = Callable[["Claim", frozenset[int]], "OpenShard"]


class Parts(NamedTuple):
    """What a keeper holds together."""

    feed: Feed
    crew: Crew
    buffer: JournalBuffer
    committer: Committer
    cache: AnswerCache | None = None


@final
class Keeper:
    """Run a worker.

    Args:
        orders: what it is to do.
        ledger: of the job.
        parts: what works on rows.
        opened: makes a shard of a claim and the rows of it that are done.
        is_static: takes only its own shards.
        is_told: whether the worker is to stop; asked often.
        wake: set by whoever has something for the keeper to do.
        grace_s: how long rows under way may take to end when it is.
    """

    def __init__(  # noqa: PLR0913 - its parts, made by who starts a worker
        self,
        orders: Orders,
        ledger: Ledger,
        parts: Parts,
        *,
        opened: Opener,
        is_static: bool,
        is_told: Callable[[], bool],
        wake: threading.Event,
        grace_s: float = GRACE_S,
    ) -> None:
        self._orders, self._ledger = orders, ledger
        self._feed, self._crew, self._buffer, self._committer, self._cache = parts
        self._opened, self._is_told, self._wake = opened, is_told, wake
        self._among = (orders.index, orders.of) if is_static else (0, 1)
        self._grace_s = grace_s
        self._shards: list[OpenShard] = []
        self._committing: set[OpenShard] = set()
        self._noted_handed: dict[OpenShard, int] = {}
        self._most_shards = OPEN_SHARDS
        self._state: State = "running"
        now_s = time.monotonic()
        self._flushed_s = self._renewed_s = self._heard_s = now_s
        self._claim_at_s, self._claim_wait_s = now_s, IDLE_S[0]
        self._storms = 0

    def run(self) -> Report:
        """Work until there is a reason to end; all shards are given back then."""
        report = self._worked()
        self._feed.stop()
        try:
            self._wind_up()
        except LedgerError as error:
            report = Report(why="stuck", error=report.error or fault_of(error))
        with suppress(LedgerError):  # the driver frees them too
            self._ledger.leave(self._orders.owner, "returned")
        return report

    def _worked(self) -> Report:
        timeout_s = 0.0
        try:
            while True:
                self._wake.wait(timeout_s)
                self._wake.clear()
                why = self._turn()
                if why is not None:
                    return Report(why=why)
                timeout_s = self._timeout_s()
        except _StuckError as stuck:
            return Report(why="stuck", error=fault_of(stuck.cause))
        except LedgerError as error:
            return Report(why="stuck", error=fault_of(error))

    def _turn(self) -> Why | None:
        """Do all there is to do; return why the worker ends, where it does."""
        if self._feed.error is not None:
            raise _StuckError(self._feed.error)
        now_s = time.monotonic()
        if self._buffer.is_full or now_s - self._flushed_s >= FLUSH_S:
            self._flush(now_s)
        self._change_suspect()
        self._take_committed()
        self._hand_over()
        self._renew(now_s)
        is_over = self._claim(now_s)
        self._tell_storm()
        if self._is_told() or self._state != "running":
            return "told"
        return "done" if is_over else None

    def _timeout_s(self) -> float:
        """Return how long nothing needs to be done, unless somebody wakes us."""
        waits = (self._feed.tick(), self._crew.grow(time.monotonic()), FLUSH_S)
        return min(wait for wait in waits if wait is not None)

    # rows

    def _flush(self, now_s: float) -> None:
        """Write what became of rows, and which ones were begun."""
        begun = self._feed.begun()  # before each shard's own count, which may be higher by then
        handed = {shard: shard.handed for shard in self._shards}
        rows = self._buffer.drain()
        for shard in list(self._shards):
            outcomes = rows.get(shard, [])
            if outcomes or self._noted_handed[shard] != handed[shard]:
                self._journal(shard, outcomes, handed[shard], now_s)
        self._flushed_s = now_s
        count = sum(map(len, rows.values()))
        if count or begun:
            self._feed.settle(count, begun)
        if self._cache is not None:
            self._cache.flush()

    def _journal(self, shard: OpenShard, rows: list[RowOutcome], handed: int, now_s: float) -> None:
        try:
            self._state = self._ledger.journal(
                shard.claim, rows, handed=handed, lease_s=self._orders.lease_s
            )
        except FencedError:
            self._lose(shard)
            return
        self._heard_s = now_s
        shard.kept += len(rows)
        self._noted_handed[shard] = handed

    # rows that are alone

    def _change_suspect(self) -> None:
        """Note which row is worked on alone, when those before it are safe in the ledger."""
        change = self._feed.change()
        if change is None:
            return
        self._flush(time.monotonic())
        old, new = change
        if old is not None and (new is None or new.shard is not old.shard):
            self._fenced(old.shard, self._clear)
        if new is not None:
            self._fenced(new.shard, lambda held: self._ledger.suspect(held.claim, new.ordinal))
        self._feed.noted(new)

    def _fenced(self, shard: OpenShard, act: Callable[[OpenShard], None]) -> None:
        """Do what may find that a shard is lost."""
        if shard.is_lost or shard not in self._shards:
            return
        try:
            act(shard)
        except FencedError:
            self._lose(shard)

    def _clear(self, shard: OpenShard) -> None:
        """Let no row of a shard be blamed for what comes now."""
        self._ledger.suspect(shard.claim, None)
        if not shard.is_absolved and not shard.care.is_at_work:
            self._ledger.absolve(shard.claim)
            shard.is_absolved = True

    # shards

    def _hand_over(self) -> None:
        """Have shards committed that are complete; let rows go that were to be the last."""
        for shard in self._shards:
            if shard.is_done and shard not in self._committing:
                self._committing.add(shard)
                self._committer.put(shard)
            elif shard.waits_for_last:
                self._feed.add_last(shard)

    def _take_committed(self) -> None:
        for shard, is_lost, error in self._committer.done():
            if error is not None and not shard.is_lost:
                raise _StuckError(error)
            if is_lost:
                self._lose(shard)
            else:
                self._forget(shard)

    def _renew(self, now_s: float) -> None:
        """Keep leases and hear the job's state, where writing outcomes did not."""
        lease_s = self._orders.lease_s
        is_due = now_s - self._renewed_s >= lease_s / 3
        if not self._shards or not (is_due or now_s - self._heard_s >= min(STATE_S, lease_s / 3)):
            return
        claims = [shard.claim for shard in self._shards]
        self._state, lost = self._ledger.renew(claims, lease_s=lease_s)
        self._renewed_s = self._heard_s = now_s
        for shard in list(self._shards):
            if shard.claim in lost:
                self._lose(shard)

    def _claim(self, now_s: float) -> bool:
        """Take a shard where one is wanted; return whether none is left in the job."""
        wants = self._feed.wants_shard() and len(self._shards) < self._most_shards
        if not wants or now_s < self._claim_at_s or self._is_told():
            return False
        orders = self._orders
        claim = self._ledger.claim(
            orders.job, orders.owner, lease_s=orders.lease_s, among=self._among
        )
        if claim is not None:
            self._claim_wait_s = IDLE_S[0]
            self._begin(claim)
            self._wake.set()  # there may be room for another one
            return False
        self._claim_at_s = now_s + self._claim_wait_s
        self._claim_wait_s = min(2 * self._claim_wait_s, IDLE_S[1])
        return not self._shards and self._is_over()

    def _is_over(self) -> bool:
        """Whether nothing is left, also for others to give back."""
        job = self._ledger.job(self._orders.job)
        self._state = job.state
        counts = self._ledger.counts(self._orders.job)
        return job.is_planned and counts.shards == counts.shards_done

    def _begin(self, claim: Claim) -> None:
        answered = self._ledger.answered(claim) if claim.attempt > 1 else frozenset()
        shard = self._opened(claim, answered)
        self._shards.append(shard)
        self._noted_handed[shard] = shard.handed
        rows = claim.shard.rows or 1
        self._most_shards = OPEN_SHARDS + 2 * self._feed.window // max(rows, 1)
        if not shard.is_read:
            self._feed.add(shard)

    def _lose(self, shard: OpenShard) -> None:
        """Drop a shard that another worker has."""
        self._feed.drop(shard)
        self._forget(shard)

    def _forget(self, shard: OpenShard) -> None:
        self._committing.discard(shard)
        self._noted_handed.pop(shard, None)
        if shard in self._shards:
            self._shards.remove(shard)
        self._claim_at_s, self._claim_wait_s = 0.0, IDLE_S[0]

    # events

    def _tell_storm(self) -> None:
        """Write down, for people, that the rows were held back."""
        storms = self._feed.storms
        if storms != self._storms:
            self._storms = storms
            self._ledger.note(
                "worker.waits",
                self._orders.job,
                {"worker": self._orders.index, "why": "most rows fail with errors that may pass"},
            )

    # the end

    def _wind_up(self) -> None:
        """Let rows under way end, for a while, and write what became of them."""
        ends_at = time.monotonic() + self._grace_s
        while not self._crew.join(FLUSH_S) and time.monotonic() < ends_at:
            self._flush(time.monotonic())
        self._flush(time.monotonic())
        self._committer.end()


@final
class _StuckError(Exception):
    """Carry what keeps the worker from going on."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause
