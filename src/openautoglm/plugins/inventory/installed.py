"""One plugin that is installed, wherever it lies: what the host needs to load it.

Pure data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

from openautoglm.plugins.inventory.conflicts import Side
from openautoglm.plugins.inventory.state import Verdict
from openautoglm.plugins.inventory.store import DEPENDENCIES, PLUGIN, WHEEL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from openautoglm.plugins.inventory.environment import Found
    from openautoglm.plugins.inventory.state import Proof, StoredPlugin, StoredVersion
    from openautoglm.plugins.manifest import Manifest

NO_VERDICT: Final = Verdict()
Origin: TypeAlias = Literal["store", "environment"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One version of a plugin that is installed.

    Attributes:
        manifest: what it says of itself.
        origin: put into the store by `install`, or into the environment by pip.
        enabled: whether it is to be used.
        root: the folder its package lies in.
        path: folders to import it and its own dependencies from, after the host's.
        sha256: of its wheel; None in the environment, where nobody kept it.
        wheel: a copy of the wheel, its signature beside it, to be verified again; None like
            `sha256`.
        contents: digest of the listing of all its files, see `Inventory.open`; None like `sha256`.
        previous: the version `rollback` goes back to, or None.
        versions: all that are in the store.
        dependencies: distributions it brings, name to version.
        verdict: on its signature.
        installed: when, as ISO 8601 in UTC; empty in the environment.
        proof: of its check, or None.
        is_downgrade: whether a higher version was installed before; a person wanted this one.
    """

    manifest: Manifest
    origin: Origin
    enabled: bool
    root: Path
    path: tuple[Path, ...]
    sha256: str | None = None
    wheel: Path | None = None
    contents: str | None = None
    previous: str | None = None
    versions: tuple[str, ...] = ()
    dependencies: Mapping[str, str]
    verdict: Verdict = NO_VERDICT
    installed: str = ""
    proof: Proof | None = None
    is_downgrade: bool = False

    @property
    def id(self) -> str:
        """The plugin's id."""
        return self.manifest.id

    @property
    def version(self) -> str:
        """The version."""
        return self.manifest.version

    @property
    def side(self) -> Side:
        """What of it can stand in another plugin's way."""
        return Side(manifest=self.manifest, where=str(self.root), dependencies=self.dependencies)


def from_store(
    found: StoredVersion, plugin: StoredPlugin, folder: Path, *, is_downgrade: bool
) -> Installed:
    """Return a version that lies in a folder of the store."""
    own = (folder / DEPENDENCIES,) if found.dependencies else ()
    return Installed(
        manifest=found.manifest,
        origin="store",
        enabled=plugin.enabled,
        root=folder / PLUGIN,
        path=(folder / PLUGIN, *own),
        sha256=found.sha256,
        wheel=folder / WHEEL,
        contents=found.contents,
        previous=plugin.previous,
        versions=tuple(plugin.versions),
        dependencies=found.dependencies,
        verdict=found.verdict,
        installed=found.installed,
        proof=found.proof,
        is_downgrade=is_downgrade,
    )


def from_environment(found: Found, manifest: Manifest, *, enabled: bool) -> Installed:
    """Return a plugin that pip installed."""
    return Installed(
        manifest=manifest,
        origin="environment",
        enabled=enabled,
        root=found.root,
        path=(found.root,),
        versions=(manifest.version,),
        dependencies={},
    )
