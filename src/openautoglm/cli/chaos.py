"""`oag chaos`: a job file run while its processes are killed, for acceptance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from openautoglm.cli.batch_run import (  # noqa: TC001 - typer reads the annotations
    AsJson,
    Chosen,
    Ledger,
)

if TYPE_CHECKING:
    from openautoglm.jobs.chaos.report import ChaosReport

Hits = Annotated[int, typer.Option(min=0, help="How many processes are hit, at most.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", help="worker, driver, both (killed), or pause (stopped). Repeatable; all."
    ),
]
Every = Annotated[
    tuple[float, float], typer.Option(help="Least and most seconds between two hits.")
]
Pause = Annotated[float, typer.Option("--pause-s", min=0, help="How long a stopped worker sleeps.")]
Seed = Annotated[int | None, typer.Option(help="Makes the same choices again.")]


def chaos(  # noqa: PLR0913 - every option of the command is a parameter
    file: Annotated[str, typer.Argument(metavar="JOB.yaml", help="A job file.")],
    *,
    chosen: Chosen = None,
    faults: Hits = 20,
    kinds: Kinds = None,
    every: Every = (0.2, 1.0),
    pause_s: Pause = 5.0,
    seed: Seed = None,
    as_json: AsJson = False,
    ledger: Ledger = None,
) -> int:
    """Run a job under attack, then look for every row: kills lose none and double none.

    It writes what the job writes: give it a sink of its own. A model's rows cost what they cost,
    those under way at a kill twice.
    """
    import tempfile
    from contextlib import closing
    from pathlib import Path

    from openautoglm.cli.batch_job import read_job
    from openautoglm.cli.exits import Exit, say
    from openautoglm.jobs.chaos.assault import assault, read_kinds
    from openautoglm.jobs.home import ledger_url, open_at
    from openautoglm.jobs.launching import register
    from openautoglm.jobs.run import Run

    chosen_kinds = read_kinds(kinds)
    spec = read_job(file, chosen, {}, ())
    url = ledger_url(ledger)
    with closing(open_at(url)) as opened:
        run = Run(register(spec, opened), url)
    with tempfile.TemporaryDirectory() as folder:
        report = assault(
            run,
            spec,
            faults=faults,
            kinds=chosen_kinds,
            every_s=every,
            pause_s=pause_s,
            seed=seed,
            folder=Path(folder),
            tell=say,
        )
    _print(report, as_json=as_json)
    return Exit.OK if report.is_exact else Exit.RECORDS_FAILED


def _print(report: ChaosReport, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    for name, value in msgspec.to_builtins(report).items():
        typer.echo(f"{name:<12} {value}")
