"""`oag plugin check`: whether a plugin may be trusted to do what it says."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import Annotated

import typer


def check_commands(app: typer.Typer) -> None:
    """Add `check` to the commands of `oag plugin`."""
    app.command()(check)


def check(  # noqa: PLR0913, PLR0917 - options of a command
    target: Annotated[
        Path,
        typer.Argument(metavar="PATH|WHEEL", help="Folder of a plugin's project, or a wheel."),
    ],
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report here as well.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer calls, where more only add certainty.")
    ] = False,
    previous: Annotated[
        Path | None,
        typer.Option("--previous", metavar="PATH|WHEEL", help="The version before, to compare."),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option("--requests", metavar="FILE", help="Recorded requests, one a line."),
    ] = None,
    advisories: Annotated[
        Path | None,
        typer.Option("--advisories", metavar="DIR", help="Folder of OSV files: known holes."),
    ] = None,
    p95_ms: Annotated[
        float, typer.Option("--p95-ms", min=0.001, help="Most that 95 of 100 calls may take.")
    ] = 100.0,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout-s", min=0.1, help="Most that one call may take.")
    ] = None,
    readable: Annotated[
        list[Path] | None,
        typer.Option("--readable", metavar="PATH", help="What it may read; may be repeated."),
    ] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Run it unconfined (L1): only code you trust.")
    ] = False,
) -> None:
    """Prove a plugin: look at its files, run it in the sandbox, print a table of what was found.

    Nothing is imported outside of the sandbox. For each row that does not hold the table says what
    was measured, what had to be, what happens otherwise, and what to do. A row that fails makes the
    exit code 1; warnings do not.
    """
    from openautoglm.plugins.validation import validate_plugin

    report = validate_plugin(
        target,
        isolation="L1" if trusted else "L2",
        profile="quick" if quick else "full",
        previous=previous,
        requests=requests,
        advisories=advisories,
        p95_ms=p95_ms,
        timeout_s=timeout_s,
        readable=readable or (),
    )
    typer.echo(str(report))
    typer.echo(f"digest {report.digest}")
    if json is not None:
        json.write_text(report.to_json() + "\n", encoding="utf-8")
    if not report.ok:
        raise typer.Exit(1)
