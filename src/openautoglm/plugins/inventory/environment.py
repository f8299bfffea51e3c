"""Plugins that pip put into the environment: found by entry point, read from JSON.

Owns the search. It reads metadata and manifests, and imports nothing of any plugin.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, final

from openautoglm.errors import PluginManifestError
from openautoglm.plugins.manifest import ENTRY_POINTS, FILE_NAME, Manifest
from openautoglm.plugins.reading import read_bytes, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.metadata import Distribution, EntryPoint


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One entry point of a plugin: its manifest, or why there is none.

    Attributes:
        id: what the entry point is called.
        manifest: None where it cannot be read.
        root: folder the package is imported from.
        error: why there is no manifest.
    """

    id: str
    manifest: Manifest | None
    root: Path
    error: PluginManifestError | None = None


def find(path: Sequence[str] | None = None) -> tuple[Found, ...]:
    """Return the plugins installed in the environment, by id.

    Args:
        path: folders to search; `sys.path` where none are given.
    """
    return tuple(sorted(_found(path), key=lambda each: (each.id, str(each.root))))


def _found(path: Sequence[str] | None) -> Iterator[Found]:
    for each in distributions() if path is None else distributions(path=list(path)):
        if ENTRY_POINTS in (each.read_text("entry_points.txt") or ""):
            for point in each.entry_points.select(group=ENTRY_POINTS):
                yield _read(point, each)


def _read(point: EntryPoint, brought_by: Distribution) -> Found:
    root = Path(str(brought_by.locate_file("")))
    package = point.value.partition(":")[0].strip()
    try:
        manifest = _manifest(point.value, root, brought_by)
    except PluginManifestError as refused:
        return Found(id=point.name, manifest=None, root=root, error=refused)
    if (manifest.id, manifest.package) == (point.name, package):
        return Found(id=manifest.id, manifest=manifest, root=root)
    differs = PluginManifestError(
        f"the entry point `{shown(point.name)}` and its manifest name different plugins",
        got=f"{manifest.id} in package {manifest.package}",
        fix="pack the plugin again, and install that",
    )
    return Found(id=point.name, manifest=None, root=root, error=differs)


def _manifest(package: str, root: Path, brought_by: Distribution) -> Manifest:
    """Read the manifest in the package; an editable install has it beside its metadata."""
    if not package.isidentifier():
        raise PluginManifestError(
            "an entry point of a plugin names one top package",
            got=shown(package),
            fix="pack the plugin again, and install that",
        )
    beside = brought_by.read_text(FILE_NAME)
    path = root / package / FILE_NAME
    data = read_bytes(path) if beside is None else beside.encode()
    return Manifest.from_json(data, file=str(path))
