"""One job, followed and steered from any process: `Run`. Knows nothing of how a job is run."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.data.catalog import open_sink
from openautoglm.data.location import read_location
from openautoglm.data.sink import writing
from openautoglm.errors import JobStateError
from openautoglm.jobs.charge import is_left
from openautoglm.jobs.checking import read_spec
from openautoglm.jobs.crews.engine import Engine
from openautoglm.jobs.destination import is_of_files, is_one_file
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import cancel, pause
from openautoglm.jobs.metering import Meter
from openautoglm.jobs.notes import Notes
from openautoglm.jobs.output import part_rows, whole_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from openautoglm.data.sink import Receipt
    from openautoglm.data.source import Row
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import JobRecord, Quarantined
    from openautoglm.jobs.progress import Progress
    from openautoglm.jobs.spec import Budget

ROWS: Final = 1000
"""Rows that are copied at a time."""
UNDER_WAY: Final = frozenset({"planned", "running"})
POLL_S: Final = 0.2
PROBE_S: Final = 5.0
"""Time between two looks whether somebody runs a job that is waited for."""


@final
class Run:
    """A job in a ledger. Make one with `Run.open`, `BatchJob.run` or `BatchJob.submit`.

    Holds nothing open; may be used from several threads, and of one job there may be many.

    Args:
        job: its whole id.
        ledger: URL of the ledger.
    """

    def __init__(self, job: str, ledger: str) -> None:
        self._job, self._url = job, ledger

    @property
    def id(self) -> str:
        """The id of the job."""
        return self._job

    @property
    def ledger(self) -> str:
        """The URL of the ledger; may hold a password."""
        return self._url

    @classmethod
    def open(cls, job: str, *, ledger: str | None = None) -> Run:
        """Return the run of a job.

        Args:
            job: its id, or a beginning of it that no other has.
            ledger: URL of its ledger; None is the one of the settings.

        Raises:
            JobNotFoundError: there is none.
        """
        url = ledger_url(ledger)
        with closing(open_at(url)) as opened:
            return cls(opened.job(job).id, url)

    @classmethod
    def all(cls, *, ledger: str | None = None, limit: int = 50) -> list[Progress]:
        """Return how far the last jobs are, the newest first."""
        with closing(open_at(ledger_url(ledger))) as opened:
            return [_progress(opened, record) for record in opened.jobs(limit=limit)]

    def status(self) -> Progress:
        """Return how far the job is, without a pace: that takes two looks."""
        with self._opened() as ledger:
            return _progress(ledger, ledger.job(self._job))

    def watch(self, every_s: float = 1.0) -> Iterator[Progress]:
        """Yield how far the job is, from now to its end or its next pause.

        Raises:
            JobStateError: nobody runs it.
        """
        meter = Meter()
        probe_s = time.monotonic() + PROBE_S
        while True:
            now_s = time.monotonic()
            with self._opened() as ledger:
                record, counts = ledger.job(self._job), ledger.counts(self._job)
                if record.state in UNDER_WAY and now_s >= probe_s:
                    probe_s = now_s + PROBE_S
                    self._check_driven(ledger)
            yield meter.progress(record, counts, now_s=now_s)
            if record.state not in UNDER_WAY:
                return
            time.sleep(every_s)

    def wait(self, timeout_s: float | None = None) -> Progress:
        """Wait until the job ends or pauses; return how far it is then, or when time is up.

        Raises:
            JobStateError: nobody runs it.
        """
        ends_s = None if timeout_s is None else time.monotonic() + timeout_s
        for progress in self.watch(POLL_S):
            if progress.state not in UNDER_WAY:
                return progress
            if ends_s is not None and time.monotonic() >= ends_s:
                return progress
        raise AssertionError("a watch ends with a state that is no longer under way")

    def pause(self) -> None:
        """Stop the job; rows under way are finished or given back, and `resume` goes on.

        Raises:
            JobStateError: it is over.
        """
        with self._opened() as ledger:
            pause(ledger, self._job)

    def cancel(self) -> None:
        """Stop the job for good, unless somebody resumes it; what is done is kept.

        Raises:
            JobStateError: it is done.
        """
        with self._opened() as ledger:
            if cancel(ledger, self._job) != "cancelled":
                raise JobStateError(f"the job `{self._job}` is done; there is nothing to cancel")

    def resume(
        self,
        *,
        background: bool = False,
        budget: Budget | None = None,
        engine: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Progress:
        """Go on with a job that was paused, killed or cancelled, or that failed.

        Args:
            background: return at once, and let a process of its own go on.
            budget: counts from now on, in the place of the job's own.
            engine: what runs the workers from now on, as in `BatchJob.run`; it may be another one.
            on_progress: is told how far the job is, where it is not in the background.

        Raises:
            JobChangedError: the source, the model or anything else is not what it was begun with.
            JobStateError: another process runs it.
            ClusterError: there is no such cluster, or it lacks what a worker needs.
            OpenAutoGLMError: what makes it fail.
        """
        runs_on = Engine.read(engine)
        runs_on.check(self._url)
        if budget is not None:
            with self._opened() as ledger:
                Notes(ledger, self._job).set_budget(budget)
        if background:
            from openautoglm.jobs.background import start_driver

            start_driver(self._job, self._url, runs_on.name)
            return self.status()
        from openautoglm.jobs.driver import Driver

        driver = Driver(self._job, self._url, engine=runs_on, on_progress=on_progress)
        return driver.run()

    def errors(self) -> Iterator[Quarantined]:
        """Yield the rows in quarantine."""
        with self._opened() as ledger:
            yield from ledger.quarantined(self._job)

    def export_errors(self, url: str) -> int:
        """Write the rows in quarantine to a sink; return how many.

        Raises:
            DataUrlError: nothing can be written by that URL.
            OutputWriteError: it may not be written there.
        """
        return _copy(map(_error_row, self.errors()), url)

    def retry_failed(self) -> int:
        """Plan the rows in quarantine once more; return how many. `resume` works on them.

        Raises:
            JobStateError: the job is still being planned.
        """
        with self._opened() as ledger:
            count = ledger.retry(self._job)
            if count:
                reason = f"{count} rows are to be tried again"
                ledger.set_state(self._job, "paused", reason=reason, among=frozenset({"done"}))
        return count

    def export(self, url: str) -> int:
        """Copy the job's answers to another sink, or what is committed of them; return how many.

        Errors as `export_errors`.
        """
        with self._opened() as ledger:
            record = ledger.job(self._job)
            receipts = ledger.receipts(self._job)
        return _copy(_answers(record, read_spec(record.spec).sink, receipts), url)

    def __repr__(self) -> str:
        return f"Run({self._job!r})"

    def _opened(self) -> closing[Ledger]:
        return closing(open_at(self._url))

    def _check_driven(self, ledger: Ledger) -> None:
        """Refuse to wait for a job that no process runs: somebody else could have it."""
        if not is_left(ledger, self._job):
            return
        raise JobStateError(
            f"no process runs the job `{self._job}`",
            got=f"it is {ledger.job(self._job).state}; its driver was killed, or never began",
            fix=f"go on with it: oag batch resume {self._job}",
        )


def _progress(ledger: Ledger, record: JobRecord) -> Progress:
    return Meter().progress(record, ledger.counts(record.id), now_s=time.monotonic())


def _answers(
    record: JobRecord, sink: str, receipts: Sequence[tuple[int, Receipt]]
) -> Iterator[Row]:
    location = read_location(sink, {})
    is_joined = is_one_file(location) and record.state == "done"
    if is_of_files(location) and not is_joined:
        return part_rows(sink, [receipt for _, receipt in receipts])
    return whole_rows(sink)


def _copy(rows: Iterable[Row], url: str) -> int:
    left = iter(rows)
    with writing(open_sink(url)) as sink:
        while batch := list(islice(left, ROWS)):
            sink.write(batch)
        return sink.commit().rows


def _error_row(row: Quarantined) -> Row:
    """Return a row in quarantine as a row of a sink: the error's fields, and what was read."""
    error = msgspec.json.decode(row.error, type=dict[str, object]) if row.error else {}
    values = msgspec.json.decode(row.values) if row.values else None
    return {"key": row.key, **error, "tries": row.tries, "values": values}
