"""Which level a plugin gets, and where each of its contributions runs at it. Pure decisions.

Knows nothing of processes. A level is what confines code: a contribution without code (a pipeline
in YAML) is taken as it is at any level, a WebAssembly module runs at L3 whatever the level is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from openautoglm.errors import PluginUnavailableError
from openautoglm.plugins.host.assignment import Assignment, Served
from openautoglm.plugins.points import POINTS, ExtensionPoint

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from openautoglm.plugins.manifest import Manifest, Provides

Level: TypeAlias = Literal["L0", "L1", "L2", "L3"]
Place: TypeAlias = Literal["host", "worker", "wasm", "file"]

_PRELOADED = ("numpy", "torch")  # peers that take longest to import


def level_of(
    manifest: Manifest, asked: Level | None, allowed: Collection[Level], *, is_trusted: bool
) -> Level:
    """Return the level a plugin runs at.

    Args:
        manifest: what it asks for.
        asked: what the caller asks for instead.
        allowed: levels this host runs; L0 among them is the explicit switch for code that nobody
            trusted signed.
        is_trusted: whether trusted keys signed it.

    Raises:
        PluginUnavailableError: the level is not to be had.
    """
    wanted = asked or manifest.level
    if wanted == "auto":
        wanted = "L2"
    may_be_local = is_trusted or "L0" in allowed
    if wanted == "L0" and not may_be_local and asked is None and manifest.isolation == "auto":
        wanted = "L2"  # what is small enough for the process runs in a worker too, slower
    if wanted == "L0" and not may_be_local:
        raise PluginUnavailableError(
            f"plugin {manifest.id} {manifest.version} asks to run in the host's process (L0)",
            got="no trusted key signed it",
            fix='sign it with a trusted key, or switch L0 on: PluginHost(levels=("L0", ...))',
        )
    if wanted != "L0" and wanted not in allowed:
        raise PluginUnavailableError(
            f"plugin {manifest.id} {manifest.version} asks for {wanted}",
            got=f"this host runs {', '.join(sorted(allowed))}",
            fix=f"allow {wanted}, or ask for another level with `isolation`",
        )
    return wanted


def point_of(provides: Provides) -> ExtensionPoint:
    """Return the point of a contribution.

    Raises:
        UnknownNameError: there is none of that name.
        PluginUnavailableError: it was written for another contract.
    """
    point = POINTS.get(provides.point)
    if provides.contract != point.contract:
        raise PluginUnavailableError(
            f"{provides.point} `{provides.name}` is for another host",
            got=f"contract {provides.contract}; this host has {point.contract}",
            fix="take the version of the plugin, or of the host, that fits",
        )
    return point


def place_of(provides: Provides, point: ExtensionPoint, level: Level) -> Place:
    """Return where a contribution runs.

    Raises:
        PluginUnavailableError: not at this level.
    """
    if provides.module is not None:
        return "wasm"
    if provides.sources is not None and point.name == "task":
        return "file"
    if level == "L0":
        return "host"
    if provides.sources is not None:
        raise PluginUnavailableError(
            f"{provides.point} `{provides.name}` cannot run at {level}",
            got="a library of kernels, which runs in the host's process or not at all",
            fix='sign it with a trusted key, or ask for isolation = "L0"',
        )
    if level in point.levels and point.servant is not None and level != "L3":
        return "worker"
    raise PluginUnavailableError(
        f"{provides.point} `{provides.name}` cannot run at {level}",
        got=f"the point has {', '.join(point.levels)}",
        fix=f'ask for isolation = "{point.levels[0]}"',
    )


def target_of(provides: Provides) -> str:
    """Return what calls name a contribution: two points may have the same names."""
    return f"{provides.point}:{provides.name}"


def assignment_for(
    manifest: Manifest, served: Sequence[Provides], *, level: Level, path: Sequence[Path]
) -> Assignment:
    """Return what the plugin's workers are told; scratch and channels are the host's to add."""
    return Assignment(
        plugin=manifest.id,
        version=manifest.version,
        level=level,
        path=tuple(map(str, path)),
        scratch="",
        limits=manifest.limits,
        peers=tuple(name for name in _PRELOADED if name in manifest.peers),
        served=tuple(_served(provides) for provides in served),
    )


def _served(provides: Provides) -> Served:
    point = point_of(provides)
    return Served(
        target=target_of(provides),
        provides=msgspec.json.encode(provides),
        object=provides.object or "",
        point=point.name,
        adopt=point.adopt,
        servant=point.servant or "",
    )
