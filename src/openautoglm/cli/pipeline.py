"""`oag pipeline list|show`: tasks, what plugins bring to pipelines, and pipeline files checked."""

from __future__ import annotations

from typing import Annotated

import typer

pipeline = typer.Typer(help="Look at tasks and pipeline files.", no_args_is_help=True)


@pipeline.command("list")
def list_tasks() -> None:
    """List the tasks that `oag run` knows by name, then what plugins bring to pipelines.

    Of plugins only the manifests are read.
    """
    from openautoglm.pipeline.catalog import TASKS
    from openautoglm.pipeline.graph import Pipeline
    from openautoglm.plugins.contributions import contributions

    for name in TASKS.names():
        typer.echo(f"{name:<12} {' '.join(Pipeline.load(name).spec.description.split())}")
    for each in contributions("task", "step"):
        typer.echo(f"{each.name:<12} {each.point} of {each}")


@pipeline.command()
def show(
    task: Annotated[str, typer.Argument(metavar="TASK|FILE.yaml", help="What to show.")],
) -> None:
    """Check a pipeline and print it as YAML: a start for one of your own."""
    from openautoglm.pipeline.graph import Pipeline

    typer.echo(Pipeline.load(task).to_yaml(), nl=False)
