"""A plugin's wheel: what one must be, beyond being a whole and plain archive.

Owns `Wheel`, the layout that is asked for, and what is said where it is not kept. The bytes are
read once, by `signing.package`. Knows nothing of where they will lie. What it does not guard
against: code that is harmful and says truly what it is; that is what check, policy and the sandbox
are for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import OpenAutoGLMError, PluginPackageError
from openautoglm.plugins.manifest import ENTRY_POINTS, Manifest, normalised
from openautoglm.plugins.ranges import runs_here
from openautoglm.plugins.reading import MAX_BYTES, shown
from openautoglm.plugins.signing.package import Package, parse, read_file
from openautoglm.plugins.signing.reason import Code, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SUFFIX: Final = ".whl"
LOCK: Final = "openautoglm-plugin.lock"
"""File in the plugin's package with the versions and hashes of all it depends on."""

_REPACK: Final = "pack the plugin again: `oag plugin pack`"
_PROBLEMS: Final[Mapping[Code, str]] = {
    "not-an-archive": "this is no wheel, or a damaged one",
    "stray-bytes": "the wheel has bytes that belong to no file in it",
    "member-header": "the wheel says two things of one file",
    "member-name": "a file in the wheel has a name that leads elsewhere, or not everywhere",
    "member-type": "a file in the wheel is a link or a device",
    "name-twice": "two files in the wheel have one name",
    "too-large": "the wheel is larger than a plugin's can be, or unpacks to far more than it is",
    "damaged": "this is no wheel, or a damaged one",
    "record": "the wheel is not what its RECORD says",
    "manifest": "the wheel is no plugin's, or its manifest is wrong",
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A plugin's wheel, in memory.

    Attributes:
        package: its bytes, all of whose files are what RECORD says.
        tags: what it runs on, as in `py3-none-any`.
    """

    package: Package
    tags: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Digest of the whole wheel, in hexadecimal."""
        return self.package.sha256

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""
        return self.package.manifest

    @property
    def files(self) -> Mapping[str, str]:
        """Name to SHA-256, in hexadecimal."""
        return self.package.files

    @property
    def lock(self) -> bytes | None:
        """What it holds its dependencies to, or None."""
        name = f"{self.manifest.package}/{LOCK}"
        return self.package.content(name) if name in self.files else None


def read_wheel(path: Path) -> Wheel:
    """Read a wheel, once, and hold it to its own RECORD; nothing is unpacked and nothing is run.

    Raises:
        PluginPackageError: it is not there, damaged, incomplete, no plugin, or has a name, a size
            or a file that no plugin's wheel has.
    """
    if path.is_dir():
        raise PluginPackageError(
            "the wheel cannot be read: it is a folder",
            got=shown(str(path)),
            fix=f"`oag plugin pack {shown(str(path))}` makes the wheel of a project",
        )
    try:
        package = parse(read_file(path), name=path.name)
    except Refusal as refusal:
        raise _refused(path, refusal.reason) from refusal
    except (OpenAutoGLMError, ValueError) as cause:  # a NUL in the path
        raise PluginPackageError(
            "the wheel cannot be read",
            got=shown(str(cause.got if isinstance(cause, OpenAutoGLMError) else cause)),
            fix="give the path of a .whl file that `oag plugin pack` wrote",
        ) from cause
    info = _info_folder(package, path)
    _check_names(package, info, path)
    _check_layout(package, info, path)
    return Wheel(package=package, tags=_tags(package, f"{info}/WHEEL", path))


def check_runs_here(wheel: Wheel) -> None:
    """Refuse a wheel that was built for another kind of machine or another Python.

    Raises:
        PluginPackageError: names both.
    """
    here = runs_here(wheel.tags)
    if here is not None:
        raise PluginPackageError(
            f"plugin `{wheel.manifest.id}` was packed for another machine",
            got=f"{', '.join(wheel.tags)}, and this is {here}",
            fix="pack it here, or anywhere with --sources",
        )


def _info_folder(package: Package, path: Path) -> str:
    found = {name.partition("/")[0] for name in package.files if ".dist-info/" in name}
    found = {folder for folder in found if folder.endswith(".dist-info")}
    if len(found) != 1:
        raise _bad(path, "a wheel has exactly one .dist-info folder", ", ".join(sorted(found)))
    (info,) = found
    lacking = [n for n in ("METADATA", "WHEEL", "RECORD") if f"{info}/{n}" not in package.files]
    if lacking:
        raise _bad(path, f"the wheel lacks its {lacking[0]}", info)
    return info


def _text(package: Package, name: str, path: Path) -> str:
    try:
        return package.content(name, limit=MAX_BYTES).decode("utf-8")
    except (Refusal, UnicodeDecodeError) as cause:
        raise _bad(path, "a file in the wheel is too large, or no text", name) from cause


def _check_names(package: Package, info: str, path: Path) -> None:
    manifest = package.manifest
    stem = f"{normalised(manifest.name).replace('-', '_')}-{manifest.version}"
    if info != f"{stem}.dist-info":
        raise _bad(path, "the manifest names another distribution or version", f"{info}, {stem}")
    for name in package.files:
        if name.partition("/")[0] not in {manifest.package, info}:
            raise _bad(path, f"a file lies outside the package `{manifest.package}`", name)


def _check_layout(package: Package, info: str, path: Path) -> None:
    """Refuse entry points and metadata that say something else, and parts that are not there."""
    manifest = package.manifest
    metadata = _text(package, f"{info}/METADATA", path).partition("\n\n")[0].splitlines()
    stated = {line.partition(": ")[0]: line.partition(": ")[2] for line in reversed(metadata)}
    if (normalised(stated.get("Name", "")), stated.get("Version")) != (
        normalised(manifest.name),
        manifest.version,
    ):
        raise _bad(path, "METADATA names another distribution or version", str(stated.get("Name")))
    points = f"{info}/entry_points.txt"
    said = _text(package, points, path) if points in package.files else ""
    lines = [line.replace(" ", "") for line in said.splitlines() if line.strip()]
    if lines != [f"[{ENTRY_POINTS}]", f"{manifest.id}={manifest.package}"]:
        raise _bad(path, "entry_points.txt is not what the manifest says", said)
    for each in manifest.provides:
        part = each.module or each.sources
        where = f"{manifest.package}/{part}"
        if part and not any(n == where or n.startswith(f"{where}/") for n in package.files):
            raise _bad(path, "what the manifest provides is not in the wheel", where)


def _tags(package: Package, name: str, path: Path) -> tuple[str, ...]:
    lines = _text(package, name, path).splitlines()
    tags = tuple(line.partition(":")[2].strip() for line in lines if line.startswith("Tag:"))
    if not tags:
        raise _bad(path, "WHEEL says nothing of where the wheel runs", "no Tag")
    return tags


def _refused(path: Path, reason: Reason) -> PluginPackageError:
    return _bad(path, _PROBLEMS.get(reason.code, reason.code), reason.detail)


def _bad(path: Path, problem: str, got: str) -> PluginPackageError:
    return PluginPackageError(problem, got=f"{shown(path.name)}: {shown(got)}", fix=_REPACK)
