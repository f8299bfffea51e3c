"""What installed plugins bring to each extension point, whose it is, and what confines it.

Read from manifests: nothing of a plugin is imported, no signature is verified again. What decides
when a plugin is started is `on_demand`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from openautoglm.errors import MissingExtraError, OpenAutoGLMError, PluginUnavailableError
from openautoglm.plugins.host.placing import level_of, place_of, point_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.host.placing import Level
    from openautoglm.plugins.inventory.installed import Installed
    from openautoglm.plugins.manifest import Provides
    from openautoglm.plugins.points import ExtensionPoint

_NO_CODE = "no code"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One thing that one installed plugin provides.

    Attributes:
        point: the extension point.
        name: in the point's registry.
        plugin: id of the owner.
        version: of the owner that is used.
        enabled: whether it is to be used.
        isolation: the level it would run at, "no code" for what runs none, empty where it cannot
            run.
        lacks: why it cannot run; empty where it can.
        fix: what to do about that.
    """

    point: str
    name: str
    plugin: str
    version: str
    enabled: bool
    isolation: str
    lacks: str = ""
    fix: str = ""

    def __str__(self) -> str:
        state = self.isolation if self.enabled else "disabled"
        return f"plugin {self.plugin} {self.version}, {state or f'cannot run: {self.lacks}'}"


def contributions(*points: str) -> tuple[Contribution, ...]:
    """Return what installed plugins provide, by point and name; none without the extra `plugins`.

    Args:
        points: only these; all where none is named.

    Raises:
        PluginStoreError: the list of plugins is damaged.
    """
    try:
        from openautoglm.plugins.inventory.inventory import Inventory

        installed = Inventory().list()
    except (ImportError, MissingExtraError):
        return ()
    found = [
        one for each in installed for one in contributed(each) if not points or one.point in points
    ]
    return tuple(sorted(found, key=lambda one: (one.point, one.name, one.plugin)))


def contributed(plugin: Installed) -> Iterator[Contribution]:
    """Yield what one plugin provides."""
    for each in plugin.manifest.provides:
        isolation, lacks, fix = "", "", ""
        try:
            isolation = _isolation(plugin, each)
        except OpenAutoGLMError as error:
            lacks, fix = f"{error.problem}: {error.got}", error.fix or ""
        yield Contribution(
            point=each.point,
            name=each.name,
            plugin=plugin.id,
            version=plugin.version,
            enabled=plugin.enabled,
            isolation=isolation,
            lacks=lacks,
            fix=fix,
        )


def isolation_of(plugin: Installed) -> str:
    """Return the levels a plugin would run at, or that it cannot run."""
    found = tuple(contributed(plugin))
    if any(each.lacks for each in found):
        return "cannot run"
    return ", ".join(sorted({each.isolation for each in found}))


def _isolation(plugin: Installed, provides: Provides) -> str:
    is_trusted = plugin.verdict.trusted
    is_confined = not is_trusted and plugin.manifest.level in {"L0", "L1"}
    point = point_of(provides)
    if is_confined and _needs_process(provides, point):
        raise PluginUnavailableError(
            "it runs in the host's process or not at all",
            got="no trusted key signed it",
            fix="sign its wheel with a key you trust (`oag plugin sign`), and install it again",
        )
    asked: Level | None = "L2" if is_confined else None
    level = level_of(plugin.manifest, asked, ("L1", "L2", "L3"), is_trusted=is_trusted)
    place = place_of(provides, point, level)
    return {"file": _NO_CODE, "wasm": "L3"}.get(place, level)


def _needs_process(provides: Provides, point: ExtensionPoint) -> bool:
    is_library = provides.sources is not None and provides.point != "task"
    return is_library or point.levels == ("L0",)
