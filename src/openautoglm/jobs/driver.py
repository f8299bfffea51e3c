"""The process that has charge of a job: it plans, looks after the workers, and ends the job.

Owns `Driver`, and the program `python -m openautoglm.jobs.driver JOB [LEDGER] [--detach]`. A driver
may be killed at any moment: its workers end by themselves, and the next one goes on. Knows nothing
of rows.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, NoReturn, final

import msgspec

from openautoglm.errors import OpenAutoGLMError
from openautoglm.jobs.charge import Charge
from openautoglm.jobs.checking import describe, read_spec
from openautoglm.jobs.crews.engine import Engine
from openautoglm.jobs.faults import error_of, in_short
from openautoglm.jobs.fingerprints import check_unchanged, fingerprint
from openautoglm.jobs.finishing import Finishing
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.metering import Meter
from openautoglm.jobs.orders import Orders
from openautoglm.jobs.running.told import fault_of
from openautoglm.jobs.shift import Pace, Shift, Stop
from openautoglm.jobs.telling import Teller
from openautoglm.jobs.works import read_intent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import Counts, JobRecord, State
    from openautoglm.jobs.orders import Fault
    from openautoglm.jobs.progress import Progress
    from openautoglm.jobs.spec import JobSpec

    Watcher = Callable[[Progress], None]

RUNNING: Final[frozenset[State]] = frozenset({"running"})
CAN_BEGIN: Final[frozenset[State]] = frozenset({"planned", "paused", "failed", "cancelled"})
DETACH: Final = "--detach"


@final
class Driver:
    """Run a job that is in a ledger, in this thread, until it ends or pauses.

    Args:
        job: its id.
        url: of the ledger.
        engine: what runs its workers; None is the one of the settings.
        on_progress: is told how far the job is, several times a second.
        on_begin: is called once the job is in charge and runs.
        pace: of looking.
    """

    def __init__(
        self,
        job: str,
        url: str,
        *,
        engine: Engine | None = None,
        on_progress: Watcher | None = None,
        on_begin: Callable[[], None] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._job, self._url = job, url
        self._engine = engine or Engine.read()
        self._engine.check(url)
        self._on_progress, self._on_begin = on_progress, on_begin
        self._pace = pace or Pace()
        self._meter, self._teller = Meter(), Teller()
        self._fault: Fault | None = None
        self._last: Progress | None = None

    def run(self) -> Progress:
        """Run the job and return how far it came.

        Raises:
            JobChangedError: the source, the model or anything else is not what it was begun with.
            JobStateError: another process runs the job.
            ClusterError: there is no such cluster, or it lacks what a worker needs.
            OpenAutoGLMError: what made the job fail.
            KeyboardInterrupt: the job is paused.
        """
        with closing(open_at(self._url)) as ledger:
            with Charge(ledger, self._url, self._job, lease_s=self._pace.charge_s) as charge:
                record = ledger.job(self._job)
                if record.state == "done":
                    self._clean(
                        ledger, read_spec(record.spec)
                    )  # its driver may not have come to it
                else:
                    self._drive(ledger, record, charge)
            progress = self._told(ledger.job(self._job), ledger.counts(self._job))
        if self._fault is not None and progress.state == "failed":
            error = error_of(self._fault)
            error.add_note(f"the job {self._job} failed of it")
            raise error
        return progress

    def _drive(self, ledger: Ledger, record: JobRecord, charge: Charge) -> None:
        try:
            spec = read_spec(record.spec)
            _check(record, spec)
            with self._engine.crew(self._orders(spec), spec.resources) as crew:
                ledger.set_state(self._job, "running", among=CAN_BEGIN)
                if self._on_begin is not None:
                    self._on_begin()
                shift = Shift(record, self._url, ledger, charge, crew, self._pace)
                stop = shift.run(self._told)
            if stop.state == "done":
                stop = self._finished(ledger, spec)
        except KeyboardInterrupt as interrupt:
            _pause(ledger, self._job, "it was interrupted")
            interrupt.add_note(f"the job is paused; to go on: oag batch resume {self._job}")
            raise
        except BaseException as error:
            if not charge.is_lost:
                _pause(ledger, self._job, in_short(fault_of(error)))
            raise
        self._fault = stop.fault
        if stop.state is not None:
            ledger.set_state(self._job, stop.state, reason=stop.reason, among=RUNNING)
        if stop.state == "done":
            self._clean(ledger, spec)

    def _orders(self, spec: JobSpec) -> Orders:
        """Return what all workers of the job are told."""
        lease_s = self._pace.lease_s
        return Orders(
            ledger=self._url, job=self._job, index=0, of=spec.workers, owner="", lease_s=lease_s
        )

    def _finished(self, ledger: Ledger, spec: JobSpec) -> Stop:
        """Put the output together; what is in the way pauses the job."""
        try:
            Finishing(self._job, spec.sink, ledger.receipts(self._job)).finish()
        except OpenAutoGLMError as error:
            fault = fault_of(error)
            return Stop(state="paused", reason=in_short(fault), fault=fault)
        return Stop(state="done")

    def _clean(self, ledger: Ledger, spec: JobSpec) -> None:
        """Remove the parts, where no row may be tried again."""
        if not ledger.counts(self._job).failed:
            Finishing(self._job, spec.sink, ledger.receipts(self._job)).clean()

    def _told(self, record: JobRecord, counts: Counts) -> Progress:
        now_s = time.monotonic()
        progress = self._meter.progress(record, counts, now_s=now_s)
        self._teller.tell(progress, now_s=now_s)
        if self._on_progress is not None and progress != self._last:
            self._on_progress(progress)
        self._last = progress
        return progress


def _check(record: JobRecord, spec: JobSpec) -> None:
    now = fingerprint(spec, read_intent(spec), describe(spec.source))
    check_unchanged(record.fingerprint, now, job=record.id)


def _pause(ledger: Ledger, job: str, reason: str) -> None:
    """Note why a job does not go on, where it was running and the ledger can be written."""
    with contextlib.suppress(OpenAutoGLMError):
        ledger.set_state(job, "paused", reason=reason, among=RUNNING)


def main(arguments: Sequence[str]) -> int:
    """Run one job; the exit code is 0 unless it failed."""
    named = [text for text in arguments if text != DETACH]
    if not named:
        sys.stderr.write("usage: python -m openautoglm.jobs.driver JOB [LEDGER] [--detach]\n")
        return 2
    job, *more = named
    if DETACH in arguments:
        _detach()
    signal.signal(signal.SIGTERM, _interrupt)
    said = _Said()
    try:
        Driver(job, ledger_url(more[0] if more else None), on_begin=said.begun).run()
    except KeyboardInterrupt:
        return 0
    except OpenAutoGLMError as error:
        said.failed(error)
        return 1
    said.begun()  # it was done already
    return 0


@final
class _Said:
    """What is told whoever started this process: one line, and no more after that."""

    def __init__(self) -> None:
        self._is_over = False

    def begun(self) -> None:
        """Say that the job runs."""
        self._say(b"{}")

    def failed(self, error: OpenAutoGLMError) -> None:
        """Say why it does not; in words too, for the log."""
        sys.stderr.write(f"{error}\n")
        self._say(msgspec.json.encode(fault_of(error)))

    def _say(self, line: bytes) -> None:
        if self._is_over:
            return
        self._is_over = True
        with contextlib.suppress(OSError):  # nobody listens
            os.write(1, line + b"\n")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # whoever reads on finds the end
        os.close(nowhere)


def _detach() -> None:
    """Go on in a process that nobody waits for."""
    if hasattr(os, "fork") and os.fork():
        os._exit(0)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
