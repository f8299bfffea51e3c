"""`BatchJob`: a described batch, and the two ways to run it. Knows nothing of how that is done."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, final

import msgspec

from openautoglm.jobs.background import start_driver
from openautoglm.jobs.crews.engine import Engine
from openautoglm.jobs.given import plain_pipeline, plain_template
from openautoglm.jobs.home import ledger_url, open_at
from openautoglm.jobs.launching import register
from openautoglm.jobs.run import Run
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openautoglm.jobs.progress import Progress
    from openautoglm.pipeline.graph import Pipeline
    from openautoglm.prompts.template import PromptTemplate


@final
class BatchJob(JobSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of a source through a pipeline, a prompt or a function into a sink.

    Each row's answer is in the sink exactly once, or the row is in quarantine with the reason;
    whatever processes are killed meanwhile. The fields are those of `JobSpec`; a program may give
    a `PromptTemplate` for `template` and a `Pipeline` for `pipeline`.

    Raises:
        JobSpecError: that pipeline cannot be written as YAML, which workers need; says why.

    Example:
        >>> job = BatchJob(source="in.jsonl", sink="out.jsonl", function="json:dumps")
        >>> job.workers, job.shard_rows
        (1, 1000)
    """

    if TYPE_CHECKING:
        template: str | Sequence[Mapping[str, str]] | PromptTemplate | None = None  # type: ignore[assignment]  # wider for who calls; made plain below
        pipeline: str | Pipeline | None = None  # type: ignore[assignment]  # likewise

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "template", plain_template(self.template))
        msgspec.structs.force_setattr(self, "pipeline", plain_pipeline(self.pipeline))

    def run(
        self,
        *,
        ledger: str | None = None,
        engine: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Run:
        """Run the batch, and return when it ends or pauses. Ctrl-C pauses it.

        Args:
            ledger: URL of the ledger; None is the one of the settings.
            engine: what runs the workers: `local`, which is this machine; `ray`, the cluster this
                machine is a node of, or else Ray on it alone; `HOST:PORT` or `ray://HOST:PORT` of
                a cluster's head. None is the one of the settings.
            on_progress: is told how far it is, several times a second.

        Raises:
            JobSpecError: it cannot run; names all that is in the way, and nothing was started.
            ClusterError: there is no such cluster, or it lacks what a worker needs.
            OpenAutoGLMError: what made it fail, such as a model that is not there; the job is in
                the ledger and can be resumed.
            KeyboardInterrupt: it is paused; the note says how to go on.
        """
        from openautoglm.jobs.driver import Driver

        runs_on = Engine.read(engine)
        run = self._registered(ledger, runs_on)
        Driver(run.id, run.ledger, engine=runs_on, on_progress=on_progress).run()
        return run

    def submit(self, *, ledger: str | None = None, engine: str | None = None) -> Run:
        """Start the batch in a process of its own, which goes on when this one ends.

        Returns when the job is in the ledger and runs; errors as `run`, up to that moment.
        """
        runs_on = Engine.read(engine)
        run = self._registered(ledger, runs_on)
        start_driver(run.id, run.ledger, runs_on.name)
        return run

    def _registered(self, ledger: str | None, engine: Engine) -> Run:
        url = ledger_url(ledger)
        engine.check(url)
        with closing(open_at(url)) as opened:
            return Run(register(self, opened), url)
