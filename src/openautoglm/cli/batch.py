"""`oag batch`: jobs run, followed, stopped, gone on with, and what failed in them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from openautoglm.cli.batch_run import (
    AsJson,
    Background,
    BudgetRows,
    BudgetSeconds,
    BudgetTokens,
    Engine,
    ErrorRate,
    Ledger,
    ShowAs,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.cli.choices import ProgressMode
    from openautoglm.cli.exits import Exit
    from openautoglm.jobs.progress import Progress
    from openautoglm.jobs.run import Run
    from openautoglm.jobs.spec import Budget

batch = typer.Typer(help="Run jobs over many rows, and look after them.", no_args_is_help=True)
batch.command("run")(run)

JobId: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="JOB", help="Its id, or how that begins; else the newest job."),
]
Url: TypeAlias = Annotated[str, typer.Argument(metavar="URL", help="Where to, a path or a URL.")]


@batch.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    as_json: AsJson = False,
    ledger: Ledger = None,
) -> None:
    """List the jobs, the newest first."""
    from openautoglm.cli import job_output
    from openautoglm.jobs.run import Run

    for each in Run.all(ledger=ledger, limit=limit):
        typer.echo(job_output.as_json(each) if as_json else job_output.listed(each))


@batch.command()
def status(job: JobId = None, as_json: AsJson = False, ledger: Ledger = None) -> None:
    """Say how far a job is."""
    from openautoglm.cli import job_output

    now = open_run(job, ledger).status()
    if as_json:
        typer.echo(job_output.as_json(now))
        return
    for label, text in job_output.told(now):
        typer.echo(f"{label:<8} {text}")


@batch.command()
def watch(
    job: JobId = None, progress: ShowAs = "auto", as_json: AsJson = False, ledger: Ledger = None
) -> int:
    """Follow a job that runs elsewhere until it ends or pauses. Ctrl-C ends the watching alone."""
    from openautoglm.cli.following import follow

    run = open_run(job, ledger)

    def watched(tell: Callable[[Progress], None]) -> Run:
        for moment in run.watch():
            tell(moment)
        return run

    return follow(watched, mode=progress, json=as_json, ledger=ledger, is_ours=False)


@batch.command()
def pause(job: JobId = None, ledger: Ledger = None) -> None:
    """Stop a job; what is done is kept, and `resume` goes on."""
    run = open_run(job, ledger)
    run.pause()
    _tell(run)


@batch.command()
def cancel(job: JobId = None, ledger: Ledger = None) -> None:
    """Stop a job for good, unless somebody resumes it; what is done is kept."""
    run = open_run(job, ledger)
    run.cancel()
    _tell(run)


@batch.command()
def resume(  # noqa: PLR0913 - every option of the command is a parameter
    job: JobId = None,
    *,
    background: Background = False,
    budget_rows: BudgetRows = None,
    budget_tokens: BudgetTokens = None,
    budget_seconds: BudgetSeconds = None,
    budget_error_rate: ErrorRate = None,
    no_budget: Annotated[bool, typer.Option("--no-budget", help="Go on without limits.")] = False,
    progress: ShowAs = "auto",
    as_json: AsJson = False,
    ledger: Ledger = None,
    engine: Engine = None,
) -> int:
    """Go on with a job that was paused, killed or cancelled, or that failed.

    It is refused where source, model, prompt or anything else that makes answers is not what it was
    begun with; the error lists what differs. A budget given here takes the place of the job's own.
    """
    run = open_run(job, ledger)
    budget = _budget(
        none=no_budget,
        rows=budget_rows,
        tokens=budget_tokens,
        seconds=budget_seconds,
        error_rate=budget_error_rate,
    )
    if background:
        run.resume(background=True, budget=budget, engine=engine)
        return _left(run, ledger)
    resumed = partial(run.resume, budget=budget, engine=engine)
    return _go_on(run, resumed, progress, json=as_json, named=(ledger, engine))


@batch.command("retry-failed")
def retry_failed(
    job: JobId = None,
    background: Background = False,
    progress: ShowAs = "auto",
    as_json: AsJson = False,
    ledger: Ledger = None,
    engine: Engine = None,
) -> int:
    """Try the rows in quarantine once more."""
    from openautoglm.cli.exits import Exit, say

    run = open_run(job, ledger)
    rows = run.retry_failed()
    say(f"{rows:,} rows to try again")
    if not rows:
        return Exit.OK
    if background:
        run.resume(background=True, engine=engine)
        return _left(run, ledger)
    resumed = partial(run.resume, engine=engine)
    return _go_on(run, resumed, progress, json=as_json, named=(ledger, engine))


@batch.command()
def errors(
    job: JobId = None,
    out: Annotated[
        str | None, typer.Option(metavar="URL", help="Write the rows there instead.")
    ] = None,
    ledger: Ledger = None,
) -> None:
    """Print the rows in quarantine as JSON lines: key, error, tries, and the row as it was read."""
    from openautoglm.cli.job_output import quarantined_line
    from openautoglm.cli.outputs import open_sink

    run = open_run(job, ledger)
    if out is not None:
        typer.echo(f"{run.export_errors(out):,} rows to {out}")
        return
    with open_sink(None) as sink:
        for row in run.errors():
            sink.write(quarantined_line(row))


@batch.command()
def export(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, or how that begins.")],
    url: Url,
    ledger: Ledger = None,
) -> None:
    """Copy a job's answers to another place, in another format, or what there is of them yet."""
    typer.echo(f"{open_run(job, ledger).export(url):,} rows to {url}")


@batch.command("clear-cache")
def clear_cache() -> None:
    """Forget the answers that jobs with --cache keep; of jobs that run, new ones are kept again."""
    from openautoglm.jobs.home import home
    from openautoglm.jobs.running.answers_file import clear_answers

    typer.echo(f"forgot {clear_answers(home())} answers")


def open_run(job: str | None, ledger: str | None) -> Run:
    """Return the run of a job, of the newest one for None.

    Raises:
        JobNotFoundError: there is none, or the beginning of an id is that of several.
    """
    from openautoglm.errors import JobNotFoundError
    from openautoglm.jobs.run import Run

    if job is not None:
        return Run.open(job, ledger=ledger)
    newest = Run.all(ledger=ledger, limit=1)
    if not newest:
        raise JobNotFoundError("there is no job yet", fix="begin one: oag batch run --help")
    return Run.open(newest[0].job, ledger=ledger)


def _budget(*, none: bool, **limits: float | None) -> Budget | None:
    """Return a new budget; None where no limit was given, and the job's own is to count."""
    import msgspec

    from openautoglm.jobs.spec import Budget

    if none:
        return Budget(error_rate=None)
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return msgspec.convert(given, Budget) if given else None


def _go_on(
    run: Run,
    resume: Callable[..., Progress],
    mode: ProgressMode,
    *,
    json: bool,
    named: tuple[str | None, str | None],
) -> Exit:
    """Resume a run in this process; `named` are its ledger and its engine."""
    from openautoglm.cli.following import follow

    def resumed(tell: Callable[[Progress], None]) -> Run:
        resume(on_progress=tell)
        return run

    ledger, engine = named
    return follow(resumed, mode=mode, json=json, ledger=ledger, engine=engine)


def _left(run: Run, ledger: str | None) -> Exit:
    """Tell of a run that goes on in the background."""
    from openautoglm.cli.exits import Exit, say
    from openautoglm.cli.following import named

    _tell(run)
    say(f"to see how it goes: oag batch watch {run.id}{named(ledger)}")
    return Exit.OK


def _tell(run: Run) -> None:
    from openautoglm.cli.job_output import listed

    typer.echo(listed(run.status()))
