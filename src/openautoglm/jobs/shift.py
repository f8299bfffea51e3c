"""A job from its start to its next stop: planned, worked on by its crew, watched.

Owns `Shift`, `Stop` and `Pace`. It changes no state of the job: whoever runs it does, by the stop
it returns. Knows nothing of what comes after the last shard.
"""

from __future__ import annotations

import contextlib
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, assert_never, final

from openautoglm.errors import LedgerError
from openautoglm.jobs.checking import read_spec
from openautoglm.jobs.crews.crew import GRACE_S, Began, Ended
from openautoglm.jobs.faults import in_short
from openautoglm.jobs.home import open_at
from openautoglm.jobs.notes import Notes
from openautoglm.jobs.orders import Fault
from openautoglm.jobs.planning import Planner
from openautoglm.jobs.restarts import Restarts
from openautoglm.jobs.running.told import fault_of
from openautoglm.jobs.spending import Spending

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.charge import Charge
    from openautoglm.jobs.crews.crew import Crew, News
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import Counts, Ending, JobRecord, State
    from openautoglm.jobs.spec import JobSpec

QUICK_S: Final = 2.0
"""So long after its start a job is looked at more often, for the sake of small ones."""
NOTE_S: Final = 60.0
FREE_S: Final = 1.0
IDLE_S: Final = 0.5


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a driver looks, and how long it waits.

    Attributes:
        lease_s: of shards.
        charge_s: of the driving.
        tick_s: between two looks.
        grace_s: for workers to end.
    """

    lease_s: float = 30.0
    charge_s: float = 10.0
    tick_s: float = 0.25
    grace_s: float = GRACE_S


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a shift is over.

    Attributes:
        state: of the job from now on; None where somebody changed it, which is why.
        reason: in words.
        fault: the error, where there is one.
    """

    state: State | None
    reason: str = ""
    fault: Fault | None = None


@final
class Shift:
    """Run a job until it stops.

    Args:
        record: of the job.
        url: of the ledger.
        ledger: the same, opened by this thread.
        charge: of the job.
        crew: of the job, entered; whoever entered it leaves it.
        pace: of looking.
    """

    def __init__(
        self,
        record: JobRecord,
        url: str,
        ledger: Ledger,
        charge: Charge,
        crew: Crew,
        pace: Pace,
    ) -> None:
        spec = read_spec(record.spec)
        self._job, self._spec, self._ledger = record.id, spec, ledger
        self._charge, self._crew, self._pace = charge, crew, pace
        self._planning = _Planning(record, spec, url)
        self._notes = Notes(ledger, record.id)
        self._counts = ledger.counts(record.id)
        self._spending = Spending(
            self._notes.budget() or spec.budget,
            self._counts,
            seconds_before=self._notes.seconds(),
        )
        self._restarts = Restarts(of=spec.workers)
        self._stop: Stop | None = None
        self._ours: set[str] = set()
        self._began_s = self._noted_s = self._freed_s = time.monotonic()

    def run(self, tell: Callable[[JobRecord, Counts], object]) -> Stop:
        """Work until there is a reason to stop; workers are gone when it returns.

        Args:
            tell: is told of every look.
        """
        with self._planning:
            try:
                stop = self._look(tell)
                if stop is None:
                    self._begin()
                while stop is None:
                    for news in self._crew.wait(self._tick_s()):
                        self._hear(news)
                    stop = self._look(tell)
                return stop
            finally:
                self._end()

    def _begin(self) -> None:
        self._free_gone()
        for index in range(self._spec.workers):
            self._start(index)

    def _start(self, index: int) -> None:
        self._ours.add(self._crew.start(index))

    def _free_gone(self) -> None:
        """Free what killed workers of earlier drivers hold; on a cluster they end after those."""
        self._freed_s = time.monotonic()
        for owner in self._notes.gone_workers():
            if owner not in self._ours:
                self._ledger.leave(owner, "lost")

    def _hear(self, news: News) -> None:
        match news:
            case Began(owner=owner, presence=presence):
                self._notes.worker_began(owner, presence)
            case Ended():
                self._take_in(news)
            case never:
                assert_never(never)

    def _end(self) -> None:
        """Let the workers go; that a ledger cannot be told of it must not hide why."""
        self._planning.stop()
        gone = self._crew.stop(self._pace.grace_s)
        with contextlib.suppress(LedgerError):
            for ended in gone:
                self._ledger.leave(ended.owner, "returned" if ended.is_told else ended.ending)
            self._notes.ran(self._spending.seconds(self._running_s()))

    def _look(self, tell: Callable[[JobRecord, Counts], object]) -> Stop | None:
        now_s = time.monotonic()
        self._charge.check()
        record = self._ledger.job(self._job)
        self._counts = counts = self._ledger.counts(self._job)
        tell(record, counts)
        if record.state != "running":
            return Stop(state=None, reason=record.reason)
        if record.is_planned and counts.shards_done == counts.shards:
            return Stop(state="done")
        found = self._stop or self._planning.why_stopped()
        enough = self._spending.why_enough(counts, running_s=self._running_s())
        if found is None and enough is not None:
            found = Stop(state="paused", reason=enough)
        if found is None:
            self._start_due(now_s)
        return found

    def _start_due(self, now_s: float) -> None:
        for index in self._restarts.due(now_s=now_s):
            self._start(index)
        if self._running_s() < self._pace.lease_s and now_s >= self._freed_s + FREE_S:
            self._free_gone()
        if now_s >= self._noted_s + NOTE_S:
            self._noted_s = now_s
            self._notes.ran(self._spending.seconds(self._running_s()))

    def _take_in(self, ended: Ended) -> None:
        """Free the shards of a worker that is gone, and decide what that means."""
        ending = ended.ending
        self._ledger.leave(ended.owner, ending)
        report = ended.report
        if ending != "returned" or report is None:
            self._bury(ended, ending)
        elif report.why in {"unfit", "stuck"}:
            fault = report.error or Fault(code="OAG000", problem=f"a worker is {report.why}")
            state: State = "failed" if report.why == "unfit" else "paused"
            self._stop = Stop(state=state, reason=in_short(fault), fault=fault)
        else:  # somebody told it to end; where the job is to end too, nobody comes back
            self._restarts.later(ended.index, now_s=time.monotonic(), wait_s=IDLE_S)

    def _bury(self, ended: Ended, ending: Ending) -> None:
        self._notes.died(ended.owner, ended.how, ending)
        now_s, done = time.monotonic(), self._counts.done + self._counts.shards_done
        self._restarts.died(ended.index, ending, now_s=now_s, done=done)
        if self._restarts.is_hopeless:
            fault = Fault(
                code="OAG804",
                problem="workers die again and again before they do anything",
                got=f"the last one {ended.how}",
                fix=f"see what they say: {self._crew.words}" if self._crew.words else "",
            )
            self._stop = Stop(state="failed", reason=in_short(fault), fault=fault)

    def _running_s(self) -> float:
        return time.monotonic() - self._began_s

    def _tick_s(self) -> float:
        return min(0.05, self._pace.tick_s) if self._running_s() < QUICK_S else self._pace.tick_s


@final
class _Planning:
    """The planning of a job in a thread of its own, where it is not done yet."""

    def __init__(self, record: JobRecord, spec: JobSpec, url: str) -> None:
        self._is_over = record.is_planned
        self._url = url
        self._halt = threading.Event()
        self._planner = Planner(record.id, spec, stop=self._halt)
        self._thread = threading.Thread(target=self._plan, name="openautoglm-planning", daemon=True)
        self._why: Stop | None = None

    def why_stopped(self) -> Stop | None:
        """Return the error that ended the planning; None while there is none."""
        return self._why

    def stop(self) -> None:
        """End it; a later one begins again."""
        self._halt.set()

    def _plan(self) -> None:
        try:
            with closing(open_at(self._url)) as ledger:
                self._planner.plan(ledger)
        except BaseException as error:  # noqa: BLE001 - it is the job's, whatever it is
            fault = fault_of(error)
            may_pass = isinstance(error, (LedgerError, OSError))  # files and servers come back
            state: State = "paused" if may_pass else "failed"
            self._why = Stop(state=state, reason=in_short(fault), fault=fault)

    def __enter__(self) -> Self:
        if not self._is_over:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if not self._is_over:
            self._thread.join()
