"""`oag worker`: machines made nodes of a Ray cluster, and what a cluster lacks of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from openautoglm.cli.batch_run import (  # noqa: TC001 - typer reads the annotations
    AsJson,
    Chosen,
    Ledger,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.jobs.crews.engine import Engine

worker = typer.Typer(
    help="Make machines nodes of a Ray cluster, and see what they lack.", no_args_is_help=True
)

More = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        metavar="NAME=AMOUNT",
        help="One more, or another number; 0 leaves it out. Repeatable.",
    ),
]


@worker.command()
def resources(more: More = None) -> None:
    """Print what this machine has besides processors and GPUs, for `ray start --resources`."""
    import json

    from openautoglm.jobs.cluster.devices import advertised

    typer.echo(json.dumps(advertised(more or ())))


@worker.command(context_settings={"ignore_unknown_options": True})
def join(
    head: Annotated[
        str, typer.Argument(metavar="HEAD:PORT", help="Of the cluster's head; the port is 6379.")
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RAY OPTIONS]", help="For `ray start`, as --num-cpus 4."),
    ] = None,
    more: More = None,
    background: Annotated[
        bool, typer.Option("--background", help="Come back at once; `ray stop` leaves.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--print", help="Show the command of Ray instead of running it.")
    ] = False,
) -> None:
    """Make this machine a node that offers its devices, until Ctrl-C or SIGTERM.

    Jobs with `--engine ray` place workers on it. When it leaves, what they had under way goes to
    other nodes.
    """
    import shlex

    from openautoglm.jobs.cluster.joining import start_command

    command = start_command(head, more or (), options or (), background=background, check=not show)
    if show:
        typer.echo(shlex.join(command))
        return
    _become(command)


@worker.command()
def doctor(
    file: Annotated[
        str | None,
        typer.Argument(metavar="JOB.yaml", help="A job file; without it, what any job needs."),
    ] = None,
    *,
    chosen: Chosen = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE",
            help="ray, HOST:PORT or ray://HOST:PORT; local looks at this machine alone.",
        ),
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.1, help="Seconds that each node has.")
    ] = 60.0,
    as_json: AsJson = False,
    ledger: Ledger = None,
) -> int:
    """Say what nodes of a cluster lack of a job. Runs nothing of it, and loads no model.

    Ends with 0 where nothing is lacking, else with 3.
    """
    import msgspec

    from openautoglm.cli.batch_job import read_job
    from openautoglm.cli.exits import Exit
    from openautoglm.cli.worker_output import told
    from openautoglm.jobs.cluster.doctor import examine

    spec = None if file is None else read_job(file, chosen, {}, ())
    report = examine(spec, engine=_engine(engine), ledger=ledger, limit_s=timeout_s)
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        for label, text in told(report):
            typer.echo(f"{label:<12} {text}".rstrip())
    return Exit.OK if report.lacks_nothing else Exit.MACHINE


def _engine(given: str | None) -> Engine:
    """Return the engine that is meant; this command is about clusters where nobody says so."""
    import os

    from openautoglm.jobs.crews.engine import RAY, Engine
    from openautoglm.settings import Settings

    return Engine.read(given or Settings.from_env(os.environ).engine or RAY)


def _become(command: Sequence[str]) -> NoReturn:
    """Let Ray take the place of this process, so that signals are for it."""
    import os
    import sys

    program, *arguments = command
    del program  # `ray`, of the environment that this runs in
    sys.stdout.flush()
    os.execv(  # noqa: S606 - our own interpreter
        sys.executable, [sys.executable, "-m", "ray.scripts.scripts", *arguments]
    )
