"""What a plugin's users lose with this version, against the version before.

Owns the row `static.previous`. griffe compares the public names of both, without importing either;
what a call does is not compared. A new major version (or, below 1.0, a new minor) may break: then
the row warns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.plugins.inspect.api import Package, load
from openautoglm.plugins.inspect.rows import failed, passed, shown, skipped
from openautoglm.plugins.inspect.subject import opened
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.report import Finding

ROW = "static.previous"


def previous_rows(
    manifest: Manifest, package: Package | None, previous: Path | None
) -> Iterator[Finding]:
    """Compare with a wheel or a project of the version before."""
    if previous is None or package is None:
        why = "no version before was named" if previous is None else "there is no package"
        yield skipped(ROW, why)
        return
    with opened(previous) as subject:
        before = subject.manifest
        old = load(subject, before) if before is not None else None
        if before is None or old is None:
            yield skipped(ROW, f"{previous} cannot be read: {subject.problem}")
            return
        if before.id != manifest.id:
            yield skipped(ROW, f"{previous} is another plugin, {before.id}")
            return
        broken = [*_gone(before, manifest), *_breaks(old, package)]
    if not broken:
        yield passed(ROW, f"{before.version} to {manifest.version}")
        return
    is_allowed = _generation(manifest.version) > _generation(before.version)
    yield failed(
        ROW,
        f"against {before.version}: {shown(broken)}",
        status="warn" if is_allowed else "fail",
    )


def _gone(before: Manifest, now: Manifest) -> Iterator[str]:
    names = {(provides.point, provides.name) for provides in now.provides}
    for provides in before.provides:
        if (provides.point, provides.name) not in names:
            yield f"{provides.point} `{provides.name}` is gone"


def _breaks(old: Package, new: Package) -> Iterator[str]:
    griffe = need("griffe", extra="plugins", why="comparing two versions")
    for breakage in griffe.find_breaking_changes(old.tree, new.tree):
        name = breakage.obj.path
        if any(part.startswith("_") and part != "__init__" for part in name.split(".")):
            continue
        where = f"({breakage.details})" if breakage.details else ""
        yield f"{name}{where}: {breakage.kind.value}"


def _generation(version: str) -> tuple[int, ...]:
    from packaging.version import Version

    release = Version(version).release
    return release[:1] if release[0] else (0, *release[1:2])
