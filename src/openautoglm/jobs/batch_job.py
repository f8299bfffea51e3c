"""`BatchJob`: a described batch, and the two ways to run it. Knows nothing of how that is done."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, final

from openautoglm.jobs.background import start_driver
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.jobs.progress import Progress


@final
class BatchJob(JobSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of a source through a pipeline, a prompt or a function into a sink.

    Each row's answer is in the sink exactly once, or the row is in quarantine with the reason;
    whatever processes are killed meanwhile. The fields are those of `JobSpec`.

    Example:
        >>> job = BatchJob(source="in.jsonl", sink="out.jsonl", function="json:dumps")
        >>> job.workers, job.shard_rows
        (1, 1000)
    """

    def run(
        self,
        *,
        ledger: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Run:
        """Run the batch, and return when it ends or pauses. Ctrl-C pauses it.

        Args:
            ledger: URL of the ledger; None is the one of the settings.
            on_progress: is told how far it is, several times a second.

        Raises:
            JobSpecError: it cannot run; names all that is in the way, and nothing was started.
            OpenAutoGLMError: what made it fail, such as a model that is not there; the job is in
                the ledger and can be resumed.
            KeyboardInterrupt: it is paused; the note says how to go on.
        """
        from openautoglm.jobs.driver import Driver

        run = self._registered(ledger)
        Driver(run.id, run.ledger, on_progress=on_progress).run()
        return run

    def submit(self, *, ledger: str | None = None) -> Run:
        """Start the batch in a process of its own, which goes on when this one ends.

        Returns when the job is in the ledger and runs; errors as `run`, up to that moment.
        """
        run = self._registered(ledger)
        start_driver(run.id, run.ledger)
        return run

    def _registered(self, ledger: str | None) -> Run:
        url = ledger_url(ledger)
        with closing(open_at(url)) as opened:
            return Run(register(self, opened), url)
