"""`oag plugin install`: a wheel is looked at, verified, and put into the store."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.report import PluginReport
    from openautoglm.plugins.wheel import Wheel


def install_commands(app: typer.Typer) -> None:
    """Add `install` to the commands of `oag plugin`."""
    app.command()(install)


def install(  # noqa: PLR0913, PLR0917 - options of a command
    wheel: Annotated[Path, typer.Argument(metavar="WHEEL", help="What `pack` wrote.")],
    enable: Annotated[
        bool, typer.Option("--enable/--no-enable", help="Use it from now on.")
    ] = True,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of other contents of its version.")
    ] = False,
    allow_downgrade: Annotated[
        bool, typer.Option("--allow-downgrade", help="Take an older version than one before.")
    ] = False,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="No trusted key signed it, as one did before.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Look at it first; nothing of it is run.")
    ] = True,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="What `oag plugin check --json` wrote."),
    ] = None,
    find_links: Annotated[
        list[Path] | None,
        typer.Option("--find-links", metavar="DIR", help="Wheels it depends on; may be repeated."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no package index for what it depends on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put a plugin into the store, and use it.

    The static rows of `oag plugin check` are asked first: where one fails, nothing is installed and
    the exit code is 1. Where a signature lies beside the wheel, it is verified, and a wheel that
    contradicts it is refused. The version before stays there: `rollback` goes back to it. An older
    version than one that was installed before is refused, and so is one that no trusted key signed
    where one signed a version before.
    """
    from openautoglm.cli.plugin_output import cannot_run, tell
    from openautoglm.plugins.inventory.dependencies import Fetching
    from openautoglm.plugins.inventory.inventory import Inventory
    from openautoglm.plugins.wheel import read_wheel

    read = read_wheel(wheel)
    proof = _given(report, read) if report is not None else _looked_at(read) if check else None
    if proof is not None and not proof.ok:
        for line in [proof.to_json()] if as_json else _refusal(proof):
            typer.echo(line)
        raise typer.Exit(1)
    found = Inventory().install(
        wheel,
        enable=enable,
        replaces=replace,
        allow_downgrade=allow_downgrade,
        allow_unsigned=allow_unsigned,
        fetching=Fetching(find_links=tuple(find_links or ()), offline=offline),
        report=proof,
        sha256=read.sha256,
    )
    tell("installed", found, as_json=as_json)
    for line in () if as_json else cannot_run(found):
        typer.echo(line)


def _looked_at(wheel: Wheel) -> PluginReport:
    """Ask the static rows of the very bytes that were read."""
    from openautoglm.plugins.inspect.static import static_rows
    from openautoglm.plugins.inspect.subject import opened
    from openautoglm.plugins.report import PluginReport

    with tempfile.TemporaryDirectory(prefix="oag-install-") as folder:
        copy = Path(folder, wheel.package.name)
        copy.write_bytes(wheel.package.data)
        with opened(copy) as subject:
            findings = tuple(static_rows(subject))
    manifest = wheel.manifest
    return PluginReport(
        plugin=manifest.id, version=manifest.version, findings=findings, profile="static"
    )


def _given(path: Path, wheel: Wheel) -> PluginReport:
    from openautoglm.cli.plugin_signing import read_report
    from openautoglm.errors import InputDecodeError

    report = read_report(path)
    about, wanted = (report.plugin, report.version), (wheel.manifest.id, wheel.manifest.version)
    if about != wanted:
        raise InputDecodeError(
            "the report is about another plugin or version",
            got=" ".join(about),
            fix=f"check {' '.join(wanted)}: `oag plugin check WHEEL --json FILE`",
        )
    return report


def _refusal(report: PluginReport) -> Iterator[str]:
    yield from map(str, report.failures)
    yield f"refused   {report.summary()}; nothing was installed"
    yield "next      mend it and pack it again; --no-check installs it as it is"
