"""A job followed in the foreground: what is shown meanwhile, and how the command ends.

Owns the exit code of a job. Knows nothing of how a job is described.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TypeAlias, assert_never, final

from openautoglm.cli.exits import Exit, Terminated, say
from openautoglm.cli.job_output import as_json, listed
from openautoglm.cli.job_progress import show_job
from openautoglm.data.location import redacted
from openautoglm.errors import OpenAutoGLMError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.cli.choices import ProgressMode
    from openautoglm.cli.job_progress import Display
    from openautoglm.jobs.progress import Progress
    from openautoglm.jobs.run import Run

Follow: TypeAlias = "Callable[[Callable[[Progress], None]], Run]"
"""Blocks until a job ends or pauses, tells its progress meanwhile, and returns the run."""


def follow(
    work: Follow,
    *,
    mode: ProgressMode,
    json: bool,
    ledger: str | None = None,
    engine: str | None = None,
    is_ours: bool = True,
) -> Exit:
    """Follow a job; its last state goes to stdout, what can be done about it to stderr.

    Args:
        work: follows it.
        mode: what is shown meanwhile.
        json: whether its last state is printed as JSON.
        ledger: of the job, where it was named; advice names it too.
        engine: likewise.
        is_ours: whether the job runs in this process, and stops when that is interrupted.
    """
    import typer

    with show_job(mode) as display:
        seen = _Seen(display)
        try:
            run = work(seen)
        except (KeyboardInterrupt, Terminated, OpenAutoGLMError):
            if is_ours and seen.last is not None:
                say(f"to go on: oag batch resume {seen.last.job}{named(ledger, engine)}")
            raise
        ended = run.status()
        seen(ended)
    typer.echo(as_json(ended) if json else listed(ended))
    for line in advice(ended, ledger, engine):
        say(line)
    return exit_of(ended)


def exit_of(progress: Progress) -> Exit:
    """Return the exit code of a command that followed a job to this state."""
    match progress.state:
        case "done":
            return Exit.RECORDS_FAILED if progress.counts.failed else Exit.OK
        case "failed":
            return Exit.MACHINE
        case "paused" | "cancelled":
            return Exit.PAUSED
        case "planned" | "running":
            return Exit.OK
        case _:
            assert_never(progress.state)


def advice(progress: Progress, ledger: str | None = None, engine: str | None = None) -> list[str]:
    """Return what a person may want to do now, and why the job is as it is."""
    lines = [progress.reason] if progress.reason else []
    job, on = f"{progress.job}{named(ledger)}", named(None, engine)
    if progress.counts.failed:
        lines.append(f"what failed, and why: oag batch errors {job}")
    if progress.state == "done" and progress.counts.failed:
        lines.append(f"to try these rows again: oag batch retry-failed {job}{on}")
    if progress.state in {"paused", "failed", "cancelled"}:
        lines.append(f"to go on: oag batch resume {job}{on}")
    return lines


def named(ledger: str | None, engine: str | None = None) -> str:
    """Return the options that name a ledger, without passwords, and an engine again.

    Empty where none was named.

    Example:
        >>> named("/data/jobs.db"), named("postgresql://ana:secret@host/jobs")
        (' --ledger /data/jobs.db', " --ledger 'postgresql://ana:***@host/jobs'")
    """
    on = f" --engine {shlex.quote(engine)}" if engine else ""
    return f" --ledger {shlex.quote(redacted(ledger))}{on}" if ledger else on


@final
class _Seen:
    """Passes progress on to a display and remembers the last."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self.last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self.last = progress
        self._display.update(progress)
