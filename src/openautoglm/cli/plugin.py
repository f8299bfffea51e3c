"""`oag plugin`: plugins made, packed, installed, listed.

The commands that prove, sign and replace plugins are files of their own.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from openautoglm.cli.plugin_install import install_commands
from openautoglm.cli.plugin_output import (
    listed,
    plain,
    plain_conflict,
    print_json,
    rows,
    short,
    tell,
    told,
    what_next,
)
from openautoglm.cli.plugin_signing import refused_now, ring, signing_commands

if TYPE_CHECKING:
    from openautoglm.plugins.inventory.inventory import Inventory

NO_MEMBERS: Final = "no members; `oag plugin new ID --kind KIND --in plugins` makes one"
plugin = typer.Typer(help="Make, prove, install and replace plugins.", no_args_is_help=True)

Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The plugin, as `list` names it.")]
Folder: TypeAlias = Annotated[
    Path, typer.Argument(metavar="DIR", help="The plugin's project, with its pyproject.toml.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@plugin.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plugin's id, as in acme.upper.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            "-k",
            metavar="KIND",
            help="operator-python, operator-cpp, operator-cuda, backend, source or step.",
        ),
    ],
    into: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="Make the project's folder in this one.")
    ] = Path(),
    licence: Annotated[
        str,
        typer.Option("--license", metavar="SPDX", help="As in MIT or LicenseRef-Proprietary."),
    ] = "Apache-2.0",
) -> None:
    """Write the project of a new plugin, which passes its tests and `check` as it is.

    In a workspace (a pyproject.toml above with [tool.uv.workspace]) it becomes a member.
    """
    from openautoglm.plugins.project import new_project

    folder = new_project(name, kind=kind, into=into, licence=licence)
    for line in what_next(short(folder), kind):
        typer.echo(line)


@plugin.command()
def pack(
    folder: Folder = Path(),
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the wheel.")
    ] = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="Keep kernels as sources, for any machine.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a plugin's wheel, with its manifest inside; the same project gives the same bytes.

    No build backend is fetched. Kernels are compiled for this kind of machine, or kept as sources.
    In the folder of a workspace all its members are packed.
    """
    from openautoglm.plugins.packing.packing import pack as write
    from openautoglm.plugins.packing.workspace import pack_all
    from openautoglm.plugins.project.workspace import Workspace

    if Workspace.at(folder) is not None:
        paths = pack_all(folder, out=out, sources=sources)
        if as_json:
            print_json([str(path) for path in paths])
        for path in () if as_json else paths:
            typer.echo(f"packed    {short(path)}")
        if not (paths or as_json):
            typer.echo(NO_MEMBERS)
        return
    packed = write(folder, out=out, sources=sources)
    if as_json:
        left_out = [{"file": file, "reason": why} for file, why in packed.left_out]
        print_json(
            {
                "path": str(packed.path),
                "sha256": packed.sha256,
                "id": packed.manifest.id,
                "version": packed.manifest.version,
                "digest": packed.manifest.digest,
                "left_out": left_out,
            }
        )
        return
    for file, why in packed.left_out:
        typer.echo(f"left out  {file}: {why}")
    typer.echo(f"packed    {short(packed.path)}")
    typer.echo(f"sha256    {packed.sha256}")


@plugin.command()
def dev(
    folder: Folder = Path(),
    once: Annotated[
        bool, typer.Option("--once", help="One round, then end with its result.")
    ] = False,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Run the project's tests.")] = True,
) -> None:
    """Reload a plugin and run its tests whenever a file of its project is saved.

    Every save gives a new generation, loaded beside the one before; one that fails is told and the
    one before stays. Ctrl-C ends it.
    """
    from openautoglm.plugins.dev import follow
    from openautoglm.plugins.project.workspace import one_plugin

    is_good = True
    for turn in follow(one_plugin(folder), test=test):
        for line in turn.lines:
            typer.echo(line)
        is_good = turn.is_good
        if once:
            break
        typer.echo("waiting   for a save; Ctrl-C ends")
    if not is_good:
        raise typer.Exit(1)


@plugin.command("list")
def list_plugins(
    as_json: AsJson = False,
    enabled: Annotated[bool, typer.Option("--enabled", help="Only those in use.")] = False,
) -> None:
    """List the plugins of the store and of the environment, and the level each runs at.

    Nothing of them is imported.
    """
    found = [each for each in _inventory().list() if each.enabled or not enabled]
    if as_json:
        print_json([plain(each) for each in found])
        return
    for each in found:
        typer.echo(listed(each))
    if not found:
        typer.echo("no plugins; `oag plugin new` makes one, `oag plugin install` installs one")


@plugin.command()
def show(
    name: Id,
    version: Annotated[
        str | None, typer.Option("--version", help="Another than the one in use.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print all that is known of a plugin."""
    found = _inventory().show(name, version=version)
    if as_json:
        print_json(plain(found))
        return
    trusted = ring(None).read().keys if found.verdict.trusted else {}
    for label, value in rows(found, {key: each.name for key, each in trusted.items()}):
        typer.echo(f"{label:<12} {value}")


@plugin.command()
def enable(
    name: Id,
    version: Annotated[
        str | None, typer.Option("--version", help="Another of those in the store.")
    ] = None,
) -> None:
    """Use a plugin from now on; refused where it does not go with another."""
    tell("enabled", _inventory().enable(name, version=version))


@plugin.command()
def disable(name: Id) -> None:
    """Use a plugin no more; it stays installed."""
    tell("disabled", _inventory().disable(name))


@plugin.command()
def rollback(name: Id) -> None:
    """Use the version before the present one again; a second time goes back to this one."""
    tell("back to", _inventory().rollback(name))


@plugin.command()
def remove(
    name: Id,
    version: Annotated[str | None, typer.Option("--version", help="Only this version.")] = None,
) -> None:
    """Take a plugin out of the store."""
    for gone in _inventory().remove(name, version=version):
        typer.echo(f"removed   {name} {gone}")


@plugin.command()
def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete what killed processes left in the store.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look for conflicts, changed files, and signatures that count no longer.

    Both sides of a conflict are named. Anything found makes the exit code 1.
    """
    from openautoglm.plugins.inventory.doctor import builtin_names

    inventory = _inventory()
    gone = inventory.clean() if clean else ()
    found = inventory.doctor(builtin=builtin_names())
    found += tuple(refused_now(inventory))
    if as_json:
        print_json([plain_conflict(each) for each in found])
    else:
        for path in gone:
            typer.echo(f"deleted   {path}")
        for line in told(found):
            typer.echo(line)
    if found:
        raise typer.Exit(1)


@plugin.command()
def workspace(folder: Folder = Path(), as_json: AsJson = False) -> None:
    """List the members of a workspace, what they share, and what does not go together."""
    from openautoglm.plugins.project.sharing import survey

    found = survey(folder)
    if as_json:
        print_json(found.to_plain())
    else:
        for line in found.lines():
            typer.echo(line)
        if not found.members:
            typer.echo(NO_MEMBERS)
    if found.misfits:
        raise typer.Exit(1)


def _mount() -> None:
    """Add the commands of the other files."""
    install_commands(plugin)
    signing_commands(plugin)
    for module, attribute in (
        ("plugin_check", "check_commands"),
        ("plugin_upgrade", "upgrade_commands"),
    ):
        name = f"openautoglm.cli.{module}"
        if find_spec(name) is not None:
            getattr(import_module(name), attribute)(plugin)


def _inventory() -> Inventory:
    from openautoglm.plugins.inventory.inventory import Inventory

    return Inventory()


_mount()
