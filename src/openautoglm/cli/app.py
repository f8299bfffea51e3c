"""The tree of commands. Owns which command has which name; each command is a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from openautoglm import __version__
from openautoglm.cli.batch import batch
from openautoglm.cli.chaos import chaos
from openautoglm.cli.doctor import doctor
from openautoglm.cli.exits import EXIT_HELP
from openautoglm.cli.models import models
from openautoglm.cli.op import op
from openautoglm.cli.pipeline import pipeline
from openautoglm.cli.plugin import plugin
from openautoglm.cli.policy import policy
from openautoglm.cli.prompt import prompt
from openautoglm.cli.run import run
from openautoglm.cli.schedule import schedule
from openautoglm.cli.scheduler import scheduler
from openautoglm.cli.worker import worker

COMMANDS = (
    *("run", "batch", "schedule", "scheduler", "worker", "chaos"),
    *("prompt", "pipeline", "models", "op", "plugin", "policy", "doctor"),
)
NO_HELP = {"help": False}
"""Without a default typer imports pydantic to coerce its own `--help`: a quarter of a second."""

app = typer.Typer(
    help="Run language-model work on your own models.",
    epilog=EXIT_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: predictable in a pipe, and rich would double its time
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["--help", "-h"],
        "default_map": {**NO_HELP, **dict.fromkeys(COMMANDS, NO_HELP)},
    },
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openautoglm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app.command()(run)
app.add_typer(batch, name="batch")
app.add_typer(schedule, name="schedule")
app.command()(scheduler)
app.add_typer(worker, name="worker")
app.command()(chaos)
app.add_typer(prompt, name="prompt")
app.add_typer(pipeline, name="pipeline")
app.add_typer(models, name="models")
app.add_typer(op, name="op")
app.add_typer(plugin, name="plugin")
app.add_typer(policy, name="policy")
app.command()(doctor)
