"""Several projects side by side that use one another and the host's packages.

Owns the reading and the editing of a workspace's member list: `[tool.uv.workspace]` in the
pyproject.toml above the projects, as uv knows it. A dependency that a member declares as
`{workspace = true}` in `[tool.uv.sources]` is another member; packed, it asks for exactly the
version it was packed beside, as `workspace:*` does elsewhere.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from msgspec import structs

from openautoglm.errors import PluginManifestError, PluginProjectError
from openautoglm.plugins.manifest import TABLE, Manifest, normalised
from openautoglm.plugins.reading import parse_toml, read_bytes, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_MEMBERS: Final = 1000
_LEADING: Final = re.compile(r"[A-Za-z0-9._-]*")
_LIST: Final = re.compile(r"^(\s*members\s*=\s*\[)([^\]]*)(\])", re.MULTILINE)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One project of a workspace.

    Attributes:
        folder: where it lies.
        name: its distribution.
        version: as written.
        manifest: of a plugin; None for a library that plugins share.
        siblings: normalised names of members it depends on.
    """

    folder: Path
    name: str
    version: str
    manifest: Manifest | None
    siblings: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The folder above the projects, and the patterns that say which are members."""

    folder: Path
    members: tuple[str, ...]
    exclude: tuple[str, ...] = ()

    @classmethod
    def around(cls, folder: Path) -> Workspace | None:
        """Return the workspace a folder lies in, or None; the nearest one counts.

        Raises:
            PluginManifestError: a pyproject.toml above is damaged.
        """
        for above in folder.absolute().parents:
            if (above / "pyproject.toml").is_file():
                found = cls.at(above)
                if found is not None:
                    return found
        return None

    @classmethod
    def at(cls, folder: Path) -> Workspace | None:
        """Return the workspace whose file lies in this very folder, or None."""
        path = folder / "pyproject.toml"
        if not path.is_file():
            return None
        tables = parse_toml(read_bytes(path), str(path))
        table = _inside(tables, "tool", "uv", "workspace")
        if table is None:
            return None
        return cls(
            folder=folder,
            members=_texts(table, "members", path),
            exclude=_texts(table, "exclude", path),
        )

    def holds(self, folder: Path) -> bool:
        """Say whether a folder's project is a member."""
        where = Path(os.path.relpath(folder, self.folder)).as_posix()
        return _is_matched(where, self.members) and not _is_matched(where, self.exclude)

    def projects(self) -> tuple[Member, ...]:
        """Return all members, by name.

        Raises:
            PluginManifestError: the pyproject.toml of one is damaged.
            PluginProjectError: two have one name, or there are more than `MAX_MEMBERS`.
        """
        found: dict[str, Member] = {}
        for folder in self._folders():
            member = read_member(folder)
            other = found.get(normalised(member.name))
            if other is not None:
                raise PluginProjectError(
                    f"two members of the workspace are called `{member.name}`",
                    got=f"{other.folder} and {folder}",
                    fix="give one another name",
                )
            found[normalised(member.name)] = member
        return tuple(found[name] for name in sorted(found))

    def check_new(self, folder: Path, name: str) -> None:
        """Refuse a project whose name another member has."""
        for member in self.projects():
            if normalised(member.name) == normalised(name):
                raise PluginProjectError(
                    f"a member of the workspace is called `{name}`",
                    got=str(member.folder),
                    fix="choose another name",
                )
        if _is_matched(Path(os.path.relpath(folder, self.folder)).as_posix(), self.exclude):
            raise PluginProjectError(
                "the workspace excludes this folder",
                got=f"exclude = {list(self.exclude)} in {self.folder / 'pyproject.toml'}",
                fix="name another folder, with --in",
            )

    def add(self, folder: Path) -> None:
        """Make a project a member, unless a pattern does already; comments in the file stay.

        Raises:
            PluginProjectError: the list is written in a way that is not safe to edit.
        """
        if self.holds(folder):
            return
        path = self.folder / "pyproject.toml"
        where = Path(os.path.relpath(folder, self.folder)).as_posix()
        text = path.read_text(encoding="utf-8")
        wanted = [*self.members, where]
        changed = _LIST.sub(lambda found: _extended(found, where), text, count=1)
        if not _has_members(changed, wanted):
            raise PluginProjectError(
                "the project is made, but is no member of the workspace yet",
                got=f"the list of members in {path} is not one this command can edit",
                fix=f'add "{where}" to `members` in `[tool.uv.workspace]`',
            )
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(changed, encoding="utf-8")
        beside.replace(path)

    def _folders(self) -> Iterator[Path]:
        seen: set[Path] = set()
        for pattern in self.members:
            for folder in sorted(self.folder.glob(pattern)):
                if folder in seen or not (folder / "pyproject.toml").is_file():
                    continue
                if not self.holds(folder):
                    continue
                seen.add(folder)
                if len(seen) > MAX_MEMBERS:
                    raise PluginProjectError(
                        "the workspace has more members than can be",
                        got=f"more than {MAX_MEMBERS} match {pattern}",
                        fix="narrow the pattern",
                    )
                yield folder


def read_member(folder: Path) -> Member:
    """Read one project, a plugin or a library.

    Raises:
        PluginManifestError: its pyproject.toml is damaged, or lacks name or version.
    """
    path = folder / "pyproject.toml"
    tables = parse_toml(read_bytes(path), str(path))
    project = _inside(tables, "project") or {}
    name, version = project.get("name"), project.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise PluginManifestError(
            f"{path}: `[project]` has no name and version",
            got=shown(project),
            fix='write name = "…" and version = "…" there',
        )
    is_plugin = _inside(tables, *TABLE.split(".")) is not None
    sources = _inside(tables, "tool", "uv", "sources") or {}
    siblings = [
        normalised(key)
        for key, value in sources.items()
        if isinstance(value, dict) and value.get("workspace") is True
    ]
    return Member(
        folder=folder,
        name=name,
        version=version,
        manifest=Manifest.from_project(folder) if is_plugin else None,
        siblings=tuple(sorted(siblings)),
    )


def pinned(manifest: Manifest, folder: Path) -> Manifest:
    """Return the manifest with its dependencies on other members at exactly their versions.

    Raises:
        PluginProjectError: a dependency of the workspace is no member of it.
    """
    member, workspace = read_member(folder), Workspace.around(folder)
    if not member.siblings:
        return manifest
    members = {} if workspace is None else {normalised(m.name): m for m in workspace.projects()}
    for name in member.siblings:
        if name not in members:
            raise PluginProjectError(
                f"`{name}` is no member of the workspace",
                got="there is no workspace around the project"
                if workspace is None
                else f"members: {', '.join(members) or 'none'}",
                fix=f"make it one, or take {name} out of [tool.uv.sources]",
            )
    wanted = [
        f"{members[name].name}=={members[name].version}" if name in member.siblings else text
        for text in manifest.dependencies
        for name in [normalised(_LEADING.match(text)[0])]  # type: ignore[index] # matches anything
    ]
    return structs.replace(manifest, dependencies=tuple(wanted))


def plugins_below(folder: Path) -> tuple[Path, ...]:
    """Return the folders of a workspace's plugins; none where a folder is no workspace.

    None either where a plugin lies beside the workspace's file: then it is that one that is meant.

    Raises:
        PluginProjectError: there is no plugin in the workspace.
    """
    workspace = Workspace.at(folder)
    if workspace is None:
        return ()
    path = folder / "pyproject.toml"
    if _inside(parse_toml(read_bytes(path), str(path)), *TABLE.split(".")) is not None:
        return ()
    found = tuple(each.folder for each in workspace.projects() if each.manifest is not None)
    if not found:
        raise PluginProjectError(
            "the workspace has no plugin yet",
            got=f"members = {list(workspace.members)} in {path}",
            fix="make one: oag plugin new acme.upper --kind step --in plugins",
        )
    return found


def one_plugin(folder: Path) -> Path:
    """Return a folder, unless it is that of a workspace.

    Raises:
        PluginProjectError: it is; the members are named.
    """
    found = plugins_below(folder)
    if found:
        raise PluginProjectError(
            "this is the folder of a workspace, with plugins of their own",
            got=str(folder.absolute()),
            fix=f"name one of {', '.join(os.path.relpath(each) for each in found)}",
        )
    return folder


def sibling_sources(folder: Path) -> tuple[Path, ...]:
    """Return the folders to import the members from that a member depends on, all the way down."""
    workspace = Workspace.around(folder)
    members = {} if workspace is None else {normalised(m.name): m for m in workspace.projects()}
    ahead, found = list(read_member(folder).siblings), dict[str, Path]()
    while ahead:
        name = ahead.pop()
        if name in members and name not in found:
            inside = members[name].folder / "src"
            found[name] = inside if inside.is_dir() else members[name].folder
            ahead += members[name].siblings
    return tuple(found[name] for name in sorted(found))


def _inside(tables: Mapping[str, object], *keys: str) -> Mapping[str, object] | None:
    found: object = tables
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _texts(table: Mapping[str, object], key: str, path: Path) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise PluginManifestError(
            f"{path}: `tool.uv.workspace.{key}` is a list of folders",
            got=shown(value),
            fix=f'write {key} = ["plugins/*"]',
        )
    for item in value:
        if Path(item).is_absolute() or ".." in Path(item).parts or "**" in item or not item:
            raise PluginManifestError(
                f"{path}: `tool.uv.workspace.{key}` names folders below the file",
                got=shown(item),
                fix='as in "plugins/*", without `..` and `**`',
            )
    return tuple(value)


def _is_matched(where: str, patterns: tuple[str, ...]) -> bool:
    """Match part by part, so that `*` stays inside one folder."""
    parts = where.split("/")
    return any(
        len(wanted := pattern.strip("/").split("/")) == len(parts)
        and all(map(fnmatchcase, parts, wanted))
        for pattern in patterns
    )


def _extended(found: re.Match[str], where: str) -> str:
    before = found[2].rstrip()
    tail = found[2][len(before) :]
    comma = "" if not before.strip() or before.rstrip().endswith(",") else ","
    indent = "\n  " if "\n" in found[2] else " " if before.strip() else ""
    return f'{found[1]}{before}{comma}{indent}"{where}"{tail}{found[3]}'


def _has_members(text: str, wanted: list[str]) -> bool:
    try:
        table = _inside(tomllib.loads(text), "tool", "uv", "workspace")
    except tomllib.TOMLDecodeError:
        return False
    return table is not None and table.get("members") == wanted
