"""`oag chaos`: a job file run under faults of many kinds, for acceptance."""

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

Hits = Annotated[int, typer.Option(min=0, help="How many faults are to be met, at most.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        help="worker, driver, both (killed), pause (stopped), torn-file, disk-full, disk-error, "
        "busy, clock-jump, database-restart, server-errors, server-down. Repeatable; all that the "
        "job can meet.",
    ),
]
Every = Annotated[
    tuple[float, float], typer.Option(help="Least and most seconds between two faults.")
]
Pause = Annotated[
    float,
    typer.Option(
        "--pause-s",
        min=0,
        help="How long a stopped worker sleeps; other faults last less, or until met.",
    ),
]
Restart = Annotated[
    str | None,
    typer.Option(
        "--database-restart",
        metavar="COMMAND",
        help="Starts the job's database again: `pg_ctl restart …`.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Makes the same choices again.")]


def chaos(  # noqa: PLR0913 - every option of the command is a parameter
    file: Annotated[str, typer.Argument(metavar="JOB.yaml", help="A job file.")],
    *,
    chosen: Chosen = None,
    faults: Hits = 20,
    kinds: Kinds = None,
    every: Every = (0.2, 1.0),
    pause_s: Pause = 5.0,
    database_restart: Restart = None,
    seed: Seed = None,
    as_json: AsJson = False,
    ledger: Ledger = None,
) -> int:
    """Run a job under attack, then look for every row: no fault loses one or doubles one.

    Its processes are killed and stopped, its disk fills up, its clock jumps, its database is busy,
    its model server answers rubbish. It writes what the job writes: give it a sink of its own. A
    model's rows cost what they cost, those under way at a fault twice.
    """
    import tempfile
    from contextlib import closing
    from pathlib import Path

    from openautoglm.cli.batch_job import read_job
    from openautoglm.cli.exits import Exit, say
    from openautoglm.jobs.chaos.arsenal import ground_of
    from openautoglm.jobs.chaos.assault import assault
    from openautoglm.jobs.chaos.kinds import choose, read_kinds
    from openautoglm.jobs.chaos.serving import between
    from openautoglm.jobs.home import ledger_url, open_at
    from openautoglm.jobs.launching import register
    from openautoglm.jobs.run import Run

    chosen_kinds = read_kinds(kinds)
    url = ledger_url(ledger)
    job = read_job(file, chosen, {}, ())
    with tempfile.TemporaryDirectory() as folder, between(job) as (spec, proxy):
        choose(  # before there is a job that nobody would run
            chosen_kinds, ground_of(spec, ledger=url, proxy=proxy, restart=database_restart)
        )
        with closing(open_at(url)) as opened:
            run = Run(register(spec, opened), url)
        report = assault(
            run,
            spec,
            faults=faults,
            kinds=chosen_kinds,
            every_s=every,
            pause_s=pause_s,
            seed=seed,
            folder=Path(folder),
            proxy=proxy,
            restart=database_restart,
            tell=say,
        )
    _print(report, as_json=as_json)
    return Exit.OK if report.is_good else Exit.RECORDS_FAILED


def _print(report: ChaosReport, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    for name, value in msgspec.to_builtins(report).items():
        if isinstance(value, dict):
            typer.echo(
                "".join(f"{name:<14} {kind:<17} {told}\n" for kind, told in value.items()), nl=False
            )
        elif isinstance(value, (list, tuple)):
            typer.echo(
                "".join(f"{name:<14} {row['key']}: {row['error']}\n" for row in value), nl=False
            )
        else:
            typer.echo(f"{name:<14} {value}")
