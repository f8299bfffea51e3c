"""A job that is run under faults of many kinds, and what became of its rows.

Owns `assault`. It starts the driver itself, hits it, its workers and what they stand on at random
moments until all faults are spent, starts again what ended of it, and lets the job end.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import JobStateError, LedgerError
from openautoglm.jobs.background import PROGRAM
from openautoglm.jobs.chaos.arsenal import Arsenal
from openautoglm.jobs.chaos.processes import Target
from openautoglm.jobs.chaos.report import ChaosReport, Refused
from openautoglm.jobs.chaos.tally import Tally
from openautoglm.jobs.chaos.verdict import places
from openautoglm.jobs.crews.process import import_path
from openautoglm.jobs.home import log_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from openautoglm.jobs.chaos.kinds import Kind
    from openautoglm.jobs.chaos.proxy import Proxy
    from openautoglm.jobs.ledger.records import Quarantined
    from openautoglm.jobs.progress import Progress
    from openautoglm.jobs.run import Run
    from openautoglm.jobs.spec import JobSpec

LIMIT_S: Final = 3600.0
LEAST: Final = 0.1
"""Of its longest time, how long a fault lasts at least."""
FRUITLESS: Final = 10
"""Drivers in a row that ended though nothing was done to them."""
UNWRITTEN: Final = 100
"""Rows of a worker that may be answered and not yet in the ledger."""
LISTED: Final = 100
PATIENCE_S: Final = 120.0


def assault(  # noqa: PLR0913 - what an assault is, by keyword
    run: Run,
    spec: JobSpec,
    *,
    faults: int,
    kinds: Sequence[Kind] | None = None,
    every_s: tuple[float, float] = (0.2, 1.0),
    pause_s: float = 5.0,
    seed: int | None = None,
    folder: Path,
    proxy: Proxy | None = None,
    restart: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> ChaosReport:
    """Run a planned job under attack.

    Args:
        run: of a job that nobody runs yet.
        spec: of the same job.
        faults: how many that somebody meets, as long as the job lasts.
        kinds: which; each has its turn; None is all that this job can meet.
        every_s: least and most seconds between two.
        pause_s: how long a stopped worker sleeps, which loses its rows where it is longer than the
            lease; other faults last less, or ten seconds until somebody meets them.
        seed: of the choice; drawn and reported where it is None.
        folder: for files of this assault.
        proxy: before the model server that the spec names.
        restart: a command for the shell that starts the job's database again.
        tell: is told of each fault.

    Raises:
        InvalidParameterError: a kind was asked for that this job cannot meet.
        JobStateError: the job did not end in an hour, or it failed or paused by itself.
    """
    seed = seed if seed is not None else random.SystemRandom().randrange(1 << 31)
    arsenal = Arsenal(
        spec,
        ledger=run.ledger,
        folder=folder,
        kinds=kinds,
        proxy=proxy,
        restart=restart,
        pause_s=pause_s,
        tell=tell,
    )
    began_s = time.monotonic()
    with arsenal:
        one = _Assault(run, arsenal, random.Random(seed), pause_s, tell)  # noqa: S311 - a seed, no secret
        one.go(faults, every_s)
    return _report(run, spec, arsenal, one, time.monotonic() - began_s, seed)


def _report(
    run: Run, spec: JobSpec, arsenal: Arsenal, one: _Assault, seconds: float, seed: int
) -> ChaosReport:
    end = run.status()
    if end.state != "done":
        raise JobStateError(
            f"`{run.id}` is {end.state}, and not by the faults: its rows are not looked for",
            got=end.reason or "no reason was given",
            fix=f"see `oag batch errors {run.id}`, mend that, and begin again",
        )
    failed = list(run.errors())
    found = places(spec, (row.key for row in failed))
    calls, tally = arsenal.calls(), one.tally
    return ChaosReport(
        job=run.id,
        state=end.state,
        **found._asdict(),
        refused=tuple(map(_refused, failed[:LISTED])),
        faults={kind: tally.met[kind] for kind in arsenal.kinds},
        unmet=dict(tally.unmet),
        skipped=arsenal.skipped,
        server_answers=arsenal.server_answers(),
        resumed=one.resumed,
        calls=calls.begun,
        repeated=max(0, calls.begun - calls.raised - found.answered),
        allowed=(tally.met.total() + one.resumed) * spec.workers * (spec.concurrency + UNWRITTEN),
        kept=one.kept,
        seconds=round(seconds, 3),
        seed=seed,
    )


def _refused(row: Quarantined) -> Refused:
    return Refused(key=row.key, error=row.error.decode("utf-8", "replace"))


@final
class _Assault:
    def __init__(
        self,
        run: Run,
        arsenal: Arsenal,
        chance: random.Random,
        pause_s: float,
        tell: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self.kept = 1.0
        self.resumed = 0
        self._run, self._arsenal, self._chance = run, arsenal, chance
        self._pause_s, self._tell = pause_s, tell
        self._environment = {
            **os.environ,
            "PYTHONPATH": import_path(),
            **arsenal.environment(),
        }
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._turns: list[Kind] = []
        self._changes_at_end = 0
        self._fruitless = 0

    def go(self, faults: int, every_s: tuple[float, float]) -> None:
        """Attack until the faults are spent, then wait for the job's end."""
        limit_s = time.monotonic() + LIMIT_S
        target = self._start()
        try:
            while time.monotonic() < limit_s:
                wait_s = self._chance.uniform(*every_s)
                if not self._is_over(target, wait_s):
                    if self.tally.count < faults:
                        self._attack(target)
                elif self._has_ended():
                    return
                if not target.is_alive:
                    target = self._start()
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()
            if target.is_alive:
                target.kill_driver()
        raise JobStateError("the job did not end", got=f"{LIMIT_S:.0f} s", fix="try fewer rows")

    def _is_over(self, target: Target, wait_s: float) -> bool:
        try:
            target.wait(wait_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _has_ended(self) -> bool:
        """Whether the job is over, or stopped though nothing happened since it last did.

        Raises:
            JobStateError: its driver ends again and again, and does not say why in the ledger.
        """
        end = self._status()
        state = end.state
        changes, self._changes_at_end = self._changes_at_end, self.tally.changes
        is_ours = changes != self.tally.changes or not self.tally.is_quiet
        if state in {"done", "cancelled"}:
            return True
        if state in {"paused", "failed"}:
            if is_ours:
                self.resumed += 1
                self._tell(f"it is {state}, and gone on with: {end.reason}")
            return not is_ours
        self._fruitless = 0 if is_ours else self._fruitless + 1
        if self._fruitless >= FRUITLESS:
            raise JobStateError(
                "the driver of the job ends at once, again and again",
                got=f"the job is {state}",
                fix=f"see why: oag batch resume {self._run.id}",
            )
        return False

    def _attack(self, target: Target) -> None:
        kind = self._next()
        if kind is None:
            return
        if kind in self._arsenal.sudden:
            self._strike(kind, target)
        else:
            self._hold(kind)

    def _next(self) -> Kind | None:
        """Return the next kind whose turn it is and that may begin."""
        if not self._turns:
            self._turns = self._chance.sample(self._arsenal.kinds, len(self._arsenal.kinds))
        found = next(filter(self.tally.may_begin, self._turns), None)
        if found is not None:
            self._turns.remove(found)
        return found

    def _strike(self, kind: Kind, target: Target) -> None:
        before = self._status().counts.done
        is_met = self._arsenal.sudden[kind].strike(target, self._chance)
        if not is_met:
            self._turns.append(kind)
        if is_met is None:
            return
        self.tally.began(kind)
        self.tally.ended(kind, is_met=is_met)
        after = self._status().counts.done
        self.kept = min(self.kept, after / before if before else 1.0)
        self._tell(f"{kind}: {after} rows are done" if is_met else f"{kind}: nobody met it")

    def _hold(self, kind: Kind) -> None:
        for_s = self._chance.uniform(LEAST, 1.0) * self._pause_s
        chance = random.Random(self._chance.random())  # noqa: S311 - a seed, no secret
        self.tally.began(kind)

        def hold() -> None:
            is_met = False
            try:
                is_met = self._arsenal.lasting[kind].hold(for_s, self._over, chance)
            finally:
                if not is_met:
                    self._turns.append(kind)
                self.tally.ended(kind, is_met=is_met)
                self._tell(f"{kind}: for {for_s:.1f} s{'' if is_met else ', nobody met it'}")

        thread = threading.Thread(target=hold, name=f"openautoglm-{kind}")
        thread.start()
        self._threads.append(thread)

    def _status(self) -> Progress:
        """Return how far the job is, also while its database is started again."""
        ends_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._run.status()
            except LedgerError:
                if time.monotonic() >= ends_s:
                    raise
            time.sleep(LEAST)

    def _start(self) -> Target:
        command = [sys.executable, "-m", PROGRAM, self._run.id]
        with open(log_file(self._run.id) or os.devnull, "ab") as words:  # noqa: PTH123 - a path or none
            return Target(
                subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    command, env=self._environment, stdout=subprocess.DEVNULL, stderr=words
                )
            )
