"""What keeps enabled plugins from being used together, each time with both sides by name.

Pure: it is given what is installed and asks nothing itself. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from openautoglm.plugins import peers
from openautoglm.plugins.manifest import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.plugins.manifest import Manifest

ConflictKind: TypeAlias = Literal[
    "id",
    "contribution",
    "package",
    "peer",
    "dependency",
    "manifest",
    "files",
    "leftover",
    "signature",
]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One thing that is wrong with what is installed.

    Attributes:
        kind: what it is about.
        problem: one sentence.
        sides: the two that do not go together: plugins by id, or `openautoglm` for the host.
        got: what each of them says.
        fix: one thing to do about it.
    """

    kind: ConflictKind
    problem: str
    sides: tuple[str, str]
    got: str
    fix: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An enabled plugin as far as it can stand in another's way.

    Attributes:
        manifest: what it says of itself.
        where: the folder it is loaded from, for messages.
        dependencies: distributions it brings, name to version.
    """

    manifest: Manifest
    where: str
    dependencies: Mapping[str, str]

    @property
    def name(self) -> str:
        """Id and version."""
        return f"{self.manifest.id} {self.manifest.version}"


def between(sides: Sequence[Side]) -> tuple[Conflict, ...]:
    """Return what any two plugins dispute with each other."""
    return tuple(found for one, other in combinations(sides, 2) for found in _pair(one, other))


def with_host(side: Side, others: Sequence[Side], host: peers.Host) -> tuple[Conflict, ...]:
    """Return where a plugin does not fit the host, and who else would mind a change of the host."""
    return tuple(
        Conflict(
            kind="peer",
            problem=f"plugin `{side.manifest.id}`: {misfit.problem}",
            sides=(side.manifest.id, peers.HOST),
            got=misfit.got + _also_asked(misfit, side, others),
            fix=misfit.fix,
        )
        for misfit in peers.misfits(side.manifest, host)
    )


def with_builtins(side: Side, builtin: Mapping[str, Sequence[str]]) -> tuple[Conflict, ...]:
    """Return contributions whose names the host's own have; `builtin` has them by point."""
    return tuple(
        Conflict(
            kind="contribution",
            problem=f"the host has a {each.point} `{each.name}` of its own",
            sides=(side.manifest.id, peers.HOST),
            got=f"{side.name} provides {each.point} `{each.name}`",
            fix=f"disable {side.manifest.id}, or ask its author for another name",
        )
        for each in side.manifest.provides
        if each.name in builtin.get(each.point, ())
    )


def _pair(one: Side, other: Side) -> Iterator[Conflict]:
    ids = (one.manifest.id, other.manifest.id)
    if ids[0] == ids[1]:
        yield Conflict(
            kind="id",
            problem=f"two plugins are called `{ids[0]}`",
            sides=ids,
            got=f"version {one.manifest.version} in {one.where}, and "
            f"{other.manifest.version} in {other.where}",
            fix=f"remove one: `oag plugin remove {ids[0]}`, or pip uninstall {other.manifest.name}",
        )
        return
    fix = f"disable one: `oag plugin disable {ids[1]}`"
    mine = {(each.point, each.name) for each in one.manifest.provides}
    for each in other.manifest.provides:
        if (each.point, each.name) in mine:
            yield Conflict(
                kind="contribution",
                problem=f"two plugins provide {each.point} `{each.name}`",
                sides=ids,
                got=f"{one.name} and {other.name}",
                fix=fix,
            )
    if one.manifest.package == other.manifest.package:
        yield Conflict(
            kind="package",
            problem=f"two plugins are imported as `{one.manifest.package}`",
            sides=ids,
            got=f"{one.name} and {other.name}",
            fix=fix,
        )
    yield from _dependencies(one, other, fix)


def _dependencies(one: Side, other: Side, fix: str) -> Iterator[Conflict]:
    """Yield what both bring in different versions, where both run in the host's process."""
    if "L0" not in {one.manifest.level} & {other.manifest.level}:
        return
    for name in sorted(one.dependencies.keys() & other.dependencies.keys()):
        versions = one.dependencies[name], other.dependencies[name]
        if versions[0] != versions[1]:
            yield Conflict(
                kind="dependency",
                problem=f"two plugins in the host's process bring different `{name}`",
                sides=(one.manifest.id, other.manifest.id),
                got=f"{one.name} brings {versions[0]}, {other.name} brings {versions[1]}",
                fix=f"{fix}, or run it in a worker",
            )


def _also_asked(misfit: peers.Misfit, side: Side, others: Sequence[Side]) -> str:
    """Say which other plugin holds the host's copy where it is."""
    if misfit.rule != "peer":
        return ""
    for name in side.manifest.peers:
        if f"`{name}`" not in misfit.problem:
            continue
        for other in others:
            ranges = {normalised(key): value for key, value in other.manifest.peers.items()}
            if other is not side and normalised(name) in ranges:
                return f"; {other.manifest.id} asks for {name} {ranges[normalised(name)]}"
    return ""
