"""A job that is run while its processes are killed and stopped, and what became of its rows.

Owns `assault`. It starts the driver itself, hits it and its workers at random moments until all
faults are spent, starts what it killed again, and lets the job end.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

from openautoglm.errors import InvalidParameterError, JobStateError
from openautoglm.jobs.background import PROGRAM
from openautoglm.jobs.chaos.processes import Target, hit
from openautoglm.jobs.chaos.report import ChaosReport
from openautoglm.jobs.chaos.verdict import places
from openautoglm.jobs.crew import import_path
from openautoglm.jobs.ledger.records import ENDED
from openautoglm.jobs.works.counting import VARIABLE, calls_in
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from openautoglm.jobs.run import Run
    from openautoglm.jobs.spec import JobSpec

Fault: TypeAlias = Literal["worker", "driver", "both", "pause"]
FAULTS: Final[tuple[Fault, ...]] = ("worker", "driver", "both", "pause")
LIMIT_S: Final = 3600.0


def assault(  # noqa: PLR0913 - what an assault is, by keyword
    run: Run,
    spec: JobSpec,
    *,
    faults: int,
    kinds: Sequence[Fault] = FAULTS,
    every_s: tuple[float, float] = (0.2, 1.0),
    pause_s: float = 5.0,
    seed: int | None = None,
    folder: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> ChaosReport:
    """Run a planned job under attack.

    Args:
        run: of a job that nobody runs yet.
        spec: of the same job.
        faults: how many, as long as the job lasts.
        kinds: which; one is drawn each time.
        every_s: least and most seconds between two.
        pause_s: how long a stopped worker sleeps; longer than the lease takes its rows away.
        seed: of the choice; drawn and reported where it is None.
        folder: for the file that counts calls.
        tell: is told of each fault.

    Raises:
        JobStateError: the job did not end in an hour, or it failed or paused by itself.
    """
    seed = seed if seed is not None else random.SystemRandom().randrange(1 << 31)
    calls = folder / f"{run.id}.calls"
    one = _Assault(run, random.Random(seed), kinds, pause_s, calls, tell)  # noqa: S311 - a seed, no secret
    began_s = time.monotonic()
    one.go(faults, every_s)
    end = run.status()
    if end.state != "done":
        raise JobStateError(
            f"`{run.id}` is {end.state}, and not by the faults: its rows are not looked for",
            got=end.reason or "no reason was given",
            fix=f"see `oag batch errors {run.id}`, mend that, and begin again",
        )
    found = places(spec, (row.key for row in run.errors()))
    made = calls_in(calls)
    return ChaosReport(
        job=run.id,
        state=end.state,
        **found._asdict(),
        faults=dict(one.hits),
        calls=made,
        repeated=made - found.rows,
        under_way=spec.concurrency,
        kept=one.kept,
        seconds=round(time.monotonic() - began_s, 3),
        seed=seed,
    )


def read_kinds(names: Sequence[str] | None) -> tuple[Fault, ...]:
    """Return kinds of faults by name; all where none is named.

    Raises:
        InvalidParameterError: there is no such kind.
    """
    for name in names or ():
        if name not in FAULTS:
            raise InvalidParameterError(
                "there is no such kind of fault",
                got=repr(name),
                fix=suggest(name, FAULTS) or f"use {', '.join(FAULTS)}",
            )
    return tuple(kind for kind in FAULTS if not names or kind in names)


@final
class _Assault:
    def __init__(
        self,
        run: Run,
        chance: random.Random,
        kinds: Sequence[Fault],
        pause_s: float,
        calls: Path,
        tell: Callable[[str], None],
    ) -> None:
        self.hits: Counter[str] = Counter()
        self.kept = 1.0
        self._run, self._chance, self._kinds = run, chance, kinds
        self._pause_s, self._tell = pause_s, tell
        self._environment = {
            **os.environ,
            "PYTHONPATH": import_path(),
            "OPENAUTOGLM_LEDGER": run.ledger,  # not among the arguments: it may hold a password
            VARIABLE: str(calls),
        }
        self._sleepers: list[threading.Timer] = []
        self._hits_at_pause = 0

    def go(self, faults: int, every_s: tuple[float, float]) -> None:
        """Attack until the faults are spent, then wait for the job's end."""
        limit_s = time.monotonic() + LIMIT_S
        target = self._start()
        try:
            while time.monotonic() < limit_s:
                wait_s = self._chance.uniform(*every_s)
                if not self._is_over(target, wait_s):
                    if self.hits.total() < faults:
                        self._attack(target)
                elif self._has_ended():
                    return
                if not target.is_alive:
                    target = self._start()
        finally:
            for sleeper in self._sleepers:
                sleeper.join()
            if target.is_alive:
                target.kill_driver()
        raise JobStateError("the job did not end", got=f"{LIMIT_S:.0f} s", fix="try fewer rows")

    def _has_ended(self) -> bool:
        """Whether the job is over, or paused again though nothing was hit since its last pause."""
        state = self._run.status().state
        if state != "paused":
            return state in ENDED
        hits, self._hits_at_pause = self._hits_at_pause, self.hits.total()
        return hits == self._hits_at_pause

    def _is_over(self, target: Target, wait_s: float) -> bool:
        try:
            target.wait(wait_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _attack(self, target: Target) -> None:
        kind = self._chance.choice(self._kinds)
        workers = target.workers()
        before = self._run.status().counts.done
        if kind in {"worker", "pause"}:
            if not workers:
                return
            chosen = self._chance.choice(workers)
            if kind == "worker":
                hit([chosen], signal.SIGKILL)
            else:
                self._stop(chosen)
        else:
            target.kill_driver()
            if kind == "both":
                hit(workers, signal.SIGKILL)
        self.hits[kind] += 1
        after = self._run.status().counts.done
        self.kept = min(self.kept, after / before if before else 1.0)
        self._tell(f"{kind}: {after} rows are done")

    def _stop(self, worker: int) -> None:
        """Stop a worker, and let it wake when its rows may have another one."""
        hit([worker], signal.SIGSTOP)
        sleeper = threading.Timer(self._pause_s, hit, ([worker], signal.SIGCONT))
        sleeper.start()
        self._sleepers.append(sleeper)

    def _start(self) -> Target:
        command = [sys.executable, "-m", PROGRAM, self._run.id]
        return Target(
            subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, env=self._environment, stdout=subprocess.DEVNULL
            )
        )
