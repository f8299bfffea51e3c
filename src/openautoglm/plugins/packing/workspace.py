"""All members of a workspace packed into one folder: plugins, and the libraries that they share.

A library is a member without a plugin's table. Its wheel is plain: pip installs it, and so does
`oag plugin install` for a plugin that depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.errors import PluginProjectError
from openautoglm.plugins.manifest import canonical, normalised
from openautoglm.plugins.metadata import library_metadata, project_table
from openautoglm.plugins.packing.archive import archive, put
from openautoglm.plugins.packing.packing import ANYWHERE, DIST, pack, package_files, wheel_text
from openautoglm.plugins.project.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from openautoglm.plugins.project.workspace import Member


def pack_all(folder: Path, *, out: Path | None = None, sources: bool = False) -> tuple[Path, ...]:
    """Write the wheels of all members of a workspace; return their paths.

    Raises:
        PluginProjectError: the folder is no workspace, or a member cannot be packed.
        PluginManifestError: the pyproject.toml of one is wrong.
        PluginPeerError: a plugin does not fit the host.
    """
    workspace = Workspace.at(folder)
    if workspace is None:
        raise PluginProjectError(
            "there is no workspace here",
            got=str(folder),
            fix='make a pyproject.toml with [tool.uv.workspace] and members = ["plugins/*"]',
        )
    target = out or folder / DIST
    return tuple(
        pack(member.folder, out=target, sources=sources).path
        if member.manifest is not None
        else pack_library(member, out=target)
        for member in workspace.projects()
    )


def pack_library(member: Member, *, out: Path) -> Path:
    """Write the wheel of a library in pure Python; errors as `pack_all`."""
    name = normalised(member.name).replace("-", "_")
    version = canonical(member.version, member.folder / "pyproject.toml")
    source = member.folder / "src" if (member.folder / "src").is_dir() else member.folder
    package = source / name
    if not (package / "__init__.py").is_file():
        raise PluginProjectError(
            f"the package `{name}` is not in the library `{member.name}`",
            got=f"no {name}/__init__.py in {source}",
            fix="a library of a workspace is one package of its own name",
        )
    info = f"{name}-{version}.dist-info"
    project = project_table(member.folder)
    contents = {inside: path.read_bytes() for inside, path in package_files(package)}
    contents[f"{info}/METADATA"] = library_metadata(member.name, version, project, member.folder)
    contents[f"{info}/WHEEL"] = wheel_text(ANYWHERE)
    return put(out, f"{name}-{version}-{ANYWHERE}.whl", archive(contents, info))
