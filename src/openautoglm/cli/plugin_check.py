"""`oag plugin check`: whether a plugin may be trusted to do what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer


def check_commands(app: typer.Typer) -> None:
    """Add `check` to the commands of `oag plugin`."""
    app.command()(check)


def check(  # noqa: PLR0913, PLR0917 - options of a command
    target: Annotated[
        Path,
        typer.Argument(metavar="PATH|WHEEL", help="Folder of a plugin's project, or a wheel."),
    ] = Path(),
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
    exit code 1; warnings do not. In the folder of a workspace all its plugins are checked.
    """
    from openautoglm.plugins.project.workspace import plugins_below
    from openautoglm.plugins.validation import validate_plugin

    targets = plugins_below(target) or (target,)
    if len(targets) > 1 and (json or previous or requests):
        raise typer.BadParameter(
            "--json, --previous and --requests are of one plugin: name one of the workspace"
        )
    if json is not None:
        _check_writable(json)
    is_good = True
    for each in targets:
        report = validate_plugin(
            each,
            isolation="L1" if trusted else "L2",
            profile="quick" if quick else "full",
            previous=previous,
            requests=requests,
            advisories=advisories,
            p95_ms=p95_ms,
            timeout_s=timeout_s,
            readable=readable or (),
        )
        typer.echo(f"{report}\ndigest {report.digest}")
        is_good &= report.ok
        if json is not None:
            _write(json, report.to_json() + "\n")
    if not is_good:
        raise typer.Exit(1)


def _check_writable(file: Path) -> None:
    """Refuse, before the check takes its time, a file that cannot be written after it."""
    if file.is_dir() or not file.parent.is_dir():
        reason = "a folder" if file.is_dir() else "its folder is not there"
        _refuse(file, reason)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as cause:
        _refuse(file, cause.strerror or str(cause))


def _refuse(file: Path, reason: str) -> NoReturn:
    from openautoglm.errors import OutputWriteError

    raise OutputWriteError(
        "the report cannot be written", got=f"{file}: {reason}", fix="name another file with --json"
    )
