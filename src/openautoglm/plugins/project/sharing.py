"""What the members of a workspace share: packages of the host, one another, and what is amiss.

Owns `Survey`. Imports nothing of any member.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from openautoglm.errors import PluginProjectError
from openautoglm.plugins import peers
from openautoglm.plugins.manifest import normalised
from openautoglm.plugins.project.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from openautoglm.plugins.project.workspace import Member


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A workspace as it is.

    Attributes:
        workspace: where it is.
        members: its projects, by name.
        shared: for each package of the host, the range each plugin asks for.
        host: the versions of those packages here.
        misfits: member and reason, where one does not fit the host or asks for what is no member.
    """

    workspace: Workspace
    members: tuple[Member, ...]
    shared: Mapping[str, Mapping[str, str]]
    host: Mapping[str, str]
    misfits: tuple[tuple[str, peers.Misfit], ...]

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        for member in self.members:
            kind = "library" if member.manifest is None else f"plugin {member.manifest.id}"
            uses = f"  uses {', '.join(member.siblings)}" if member.siblings else ""
            yield f"member    {member.name} {member.version}  ({kind}){uses}"
        for name, ranges in sorted(self.shared.items()):
            asked = ", ".join(f"{plugin} {wanted}" for plugin, wanted in sorted(ranges.items()))
            yield f"shared    {name} {self.host.get(name, 'not installed')}  ({asked})"
        for name, misfit in self.misfits:
            yield f"misfit    {name}: {misfit.problem}"
            yield f"  got     {misfit.got}"
            yield f"  fix     {misfit.fix}"

    def to_plain(self) -> dict[str, object]:
        """Return it as JSON holds it."""
        return {
            "folder": str(self.workspace.folder),
            "members": [
                {
                    "name": member.name,
                    "version": member.version,
                    "plugin": None if member.manifest is None else member.manifest.id,
                    "folder": str(member.folder),
                    "uses": list(member.siblings),
                }
                for member in self.members
            ],
            "shared": {name: dict(ranges) for name, ranges in self.shared.items()},
            "host": dict(self.host),
            "misfits": [
                {"member": name, "problem": each.problem, "got": each.got, "fix": each.fix}
                for name, each in self.misfits
            ],
        }


def survey(folder: Path) -> Survey:
    """Look at the workspace a folder is or lies in.

    Raises:
        PluginProjectError: there is none.
        PluginManifestError: a pyproject.toml in it is damaged.
    """
    workspace = Workspace.at(folder.absolute()) or Workspace.around(folder)
    if workspace is None:
        raise PluginProjectError(
            "there is no workspace here",
            got=str(folder.absolute()),
            fix='make a pyproject.toml with [tool.uv.workspace] and members = ["plugins/*"]',
        )
    members, host = workspace.projects(), peers.Host()
    shared: dict[str, dict[str, str]] = {}
    for member in members:
        for name, wanted in {} if member.manifest is None else member.manifest.peers.items():
            shared.setdefault(normalised(name), {})[member.name] = wanted
    return Survey(
        workspace=workspace,
        members=members,
        shared=shared,
        host={name: there for name in shared if (there := host.version(name)) is not None},
        misfits=tuple(_misfits(members, host)),
    )


def _misfits(members: tuple[Member, ...], host: peers.Host) -> Iterator[tuple[str, peers.Misfit]]:
    known = {normalised(member.name) for member in members}
    for member in members:
        if member.manifest is not None:
            for misfit in peers.misfits(member.manifest, host):
                yield member.name, misfit
        for name in member.siblings:
            if name not in known:
                yield (
                    member.name,
                    peers.Misfit(
                        rule="dependency",
                        problem=f"`{name}` is no member of the workspace",
                        got=f"members: {', '.join(sorted(known))}",
                        fix=f"make it one, or take {name} out of [tool.uv.sources]",
                    ),
                )
