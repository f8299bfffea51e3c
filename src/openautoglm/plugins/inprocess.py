"""L0: a plugin's contributions in this process, loaded and taken back as a whole.

Owns `InProcessPlugin`, and `content`, where files lie that a manifest names. Who may be loaded like
this is for others to say: code in this process can do what the host can. Knows nothing of workers.
"""

from __future__ import annotations

import sys
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self, final

from openautoglm.errors import PluginContributionError, PluginLoadError
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.private_code import PrivateCode
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from openautoglm.plugins.manifest import Manifest, Provides


@final
class InProcessPlugin:
    """One version of a plugin, imported under names of its own; other versions may be beside it.

    Construction imports it and makes its contributions; `register` puts them where the host finds
    them, under the plugin's id. Of several versions one is registered at a time. An operator that
    registers itself while it is imported (`@ops.register`) is there at once and for one version
    only.

    Args:
        manifest: what it says of itself.
        folders: its files, and those of packages it brought along.

    Raises:
        PluginLoadError: it cannot be imported, or lacks a file; nothing of it stays.
        PluginContributionError: a contribution is not what its point takes; nothing stays.

    Example:
        with InProcessPlugin(manifest, [folder]) as plugin:
            plugin.register()
    """

    def __init__(self, manifest: Manifest, folders: Sequence[Path]) -> None:
        self.manifest = manifest
        self._folders = tuple(folders)
        self._code = PrivateCode(manifest.id, self._folders)
        self._values: dict[tuple[str, str], object] = {}
        self._is_registered = False
        try:
            for provides in manifest.provides:
                self._values[provides.point, provides.name] = self._made(provides)
        except BaseException:
            self.unload()
            raise

    @property
    def values(self) -> Mapping[tuple[str, str], object]:
        """What the registries hold, or would hold, by point and name."""
        return MappingProxyType(self._values)

    def register(self) -> None:
        """Put all contributions into the registries of their points, or none.

        Raises:
            NameTakenError: a name has an entry.
        """
        if self._is_registered:
            return
        self._is_registered = True
        try:
            with owned_by(self.manifest.id):
                for (point, name), value in self._values.items():
                    POINTS.get(point).entries().add(name, value)
        except BaseException:
            self.revoke()
            raise

    def revoke(self) -> None:
        """Take its contributions out of the registries; `register` puts them back."""
        if self._is_registered:
            self._is_registered = False
            _revoke(self.manifest.id)

    def unload(self) -> None:
        """Revoke, and forget its code. Twice is fine."""
        self.revoke()
        _revoke(self._code.owner)
        self._values.clear()
        self._code.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unload()

    def _made(self, provides: Provides) -> object:
        point = POINTS.get(provides.point)
        if point.contract != provides.contract:
            raise PluginContributionError(
                f"{provides.point} `{provides.name}` was written for another contract",
                got=f"contract {provides.contract}; this host has {point.contract}",
                fix=f"install a version of {self.manifest.id} for contract {point.contract}",
            )
        if provides.module is not None:
            raise PluginLoadError(
                f"{provides.point} `{provides.name}` is WebAssembly, which is not run at L0",
                fix='ask for isolation = "L3"',
            )
        value: object
        if provides.object is None:
            value = content(self.manifest, self._folders, provides)
        else:
            value = self._code.value(provides.object)
        with owned_by(self._code.owner):
            return point.adopted(value, provides)


def content(manifest: Manifest, folders: Sequence[Path], provides: Provides) -> Path:
    """Return the file or folder in a package that a contribution without code names.

    Raises:
        PluginLoadError: it is not there.
    """
    inside = provides.sources or provides.module or ""
    for folder in folders:
        found = folder / manifest.package / inside
        if found.exists():
            return found
    raise PluginLoadError(
        f"plugin {manifest.id} {manifest.version} lacks what its manifest names",
        got=f"{inside} of {provides.point} `{provides.name}`",
        fix="pack it again",
    )


def _revoke(owner: str) -> None:
    """Take back all that an owner added, at every point; kernels go before their operators."""
    for point in map(POINTS.get, POINTS.names()):
        if point.registry.partition(":")[0] in sys.modules:  # else nobody added anything
            point.entries().revoke(owner)
