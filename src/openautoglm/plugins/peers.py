"""Whether a plugin and this host fit: host API, Python, packages that only the host brings.

Owns the rule that a package of the host is a peer: the plugin states a range the host's own copy
must be in, and brings no copy. It is asked at pack, install and load. Reads installed metadata;
imports nothing. It guards against mistakes: code that changes `sys.modules` is not looked for.
"""

from __future__ import annotations

import platform
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

from openautoglm.errors import PluginPeerError
from openautoglm.plugins.manifest import API_VERSION, normalised
from openautoglm.plugins.ranges import parse_range, parse_requirement
from openautoglm.plugins.reading import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from packaging.requirements import Requirement

    from openautoglm.plugins.manifest import Manifest

__all__ = [
    "HOST",
    "Host",
    "Misfit",
    "Rule",
    "demand",
    "misfits",
    "parse_range",
    "parse_requirement",
    "refuse",
    "vendored",
]

Rule: TypeAlias = Literal["host-api", "python", "peer", "dependency", "package"]
HOST: Final = "openautoglm"
_NOT_LENT: Final = frozenset({"dev"})  # what our contributors need is nothing the host brings
_VENDORED: Final = re.compile(r"(?:^|/)_?(?:vendor|vendored|third_party|bundled|extern)s?/([^/]+)/")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """One reason why a plugin does not fit."""

    rule: Rule
    problem: str
    got: str
    fix: str


@final
class Host:
    """What the host is and brings; read from the environment where it is not given.

    Args:
        versions: installed distributions, normalised name to version.
        own: those of them the host itself needs, `openautoglm` with all its extras.
        api: version of the host API.
        python: version of Python.
    """

    def __init__(
        self,
        *,
        versions: Mapping[str, str] | None = None,
        own: Iterable[str] | None = None,
        api: str = API_VERSION,
        python: str | None = None,
    ) -> None:
        self.api = api
        self.python = python or platform.python_version()
        self._versions = versions
        self._own = None if own is None else frozenset(own)

    def version(self, name: str) -> str | None:
        """Return the installed version of a distribution, or None."""
        if self._versions is not None:
            return self._versions.get(normalised(name))
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(name)
        except (PackageNotFoundError, ValueError):
            return None

    @property
    def own(self) -> frozenset[str]:
        """Distributions the host itself needs, and what they need."""
        return _own_here() if self._own is None else self._own

    def owner_of(self, package: str, *, besides: str = "") -> str | None:
        """Return the distribution that brings a top package of that name, or None.

        Args:
            package: as it is imported.
            besides: a distribution that may; asked first, because asking all takes long.
        """
        if self._versions is not None:
            owners = [name for name in self._versions if name.replace("-", "_") == package]
            return next((name for name in owners if name != normalised(besides)), None)
        from importlib.metadata import packages_distributions
        from importlib.util import find_spec

        with suppress(ValueError):  # it is imported, and nobody knows from where
            if find_spec(package) is None or _brings(besides, package):
                return None
        owners = sorted({*map(normalised, packages_distributions().get(package, ()))})
        return next((name for name in owners if name != normalised(besides)), None)


def misfits(manifest: Manifest, host: Host | None = None) -> tuple[Misfit, ...]:
    """Return every reason why a plugin does not fit this host; none where it does."""
    host = host or Host()
    return (
        *_ranges(manifest, host),
        *_peers(manifest, host),
        *_dependencies(manifest, host),
        *_shadows(manifest, host),
    )


def demand(manifest: Manifest, *, host: Host | None = None) -> None:
    """Refuse a plugin that does not fit this host.

    Raises:
        PluginPeerError: names the first reason, what both sides have, and how many more there are.
    """
    found = misfits(manifest, host)
    if found:
        refuse(manifest.id, found)


def refuse(plugin: str, found: tuple[Misfit, ...]) -> None:
    """Raise what `found` says.

    Raises:
        PluginPeerError: always.
    """
    first = found[0]
    more = f"; and {len(found) - 1} more: {found[1].problem}" if len(found) > 1 else ""
    raise PluginPeerError(f"plugin `{plugin}`: {first.problem}{more}", got=first.got, fix=first.fix)


def vendored(
    names: Iterable[str], manifest: Manifest, host: Host | None = None
) -> tuple[Misfit, ...]:
    """Return the copies of host packages among the file names of a plugin's package."""
    host = host or Host()
    kept = {name.replace("-", "_") for name in (*host.own, *map(normalised, manifest.peers))}
    found = {}
    for name in names:
        folder = _VENDORED.search(name)
        if folder is not None and folder[1].removesuffix(".py").lower() in kept:
            found[folder[1]] = name
        elif ".dist-info/" in name and not name.startswith(f"{manifest.package}-"):
            bundled = name[: name.index(".dist-info/")].rpartition("/")[2].partition("-")[0]
            if bundled.lower() in kept:
                found[bundled] = name
    return tuple(
        Misfit(
            rule="peer",
            problem=f"it brings its own copy of `{copy}`, which the host brings",
            got=shown(name),
            fix=f'remove the copy, and state a range: peers = {{{copy} = ">=…"}}',
        )
        for copy, name in sorted(found.items())
    )


def _ranges(manifest: Manifest, host: Host) -> Iterator[Misfit]:
    for rule, wanted, there, who in (
        ("host-api", manifest.host_api, host.api, "host API"),
        ("python", manifest.requires_python, host.python, "Python"),
    ):
        key = "requires-python" if rule == "python" else "host-api"
        allowed = parse_range(wanted)
        if allowed is None or (rule == "host-api" and not str(allowed)):
            yield Misfit(
                rule="host-api" if rule == "host-api" else "python",
                problem=f"`{key}` is no range of versions",
                got=shown(wanted) or "nothing",
                fix=f'write {key} = ">={there},<{int(there.partition(".")[0]) + 1}"',
            )
        elif not allowed.contains(there, prereleases=True):
            yield Misfit(
                rule="host-api" if rule == "host-api" else "python",
                problem=f"it was written for another {who}",
                got=f"it asks for {wanted}, and this is {there}",
                fix=f"install a version of the plugin that takes {who} {there}",
            )


def _peers(manifest: Manifest, host: Host) -> Iterator[Misfit]:
    for name, wanted in sorted(manifest.peers.items()):
        allowed, there = parse_range(wanted), host.version(name)
        if allowed is None:
            yield Misfit(
                rule="peer",
                problem=f"the range of peer `{name}` is none",
                got=shown(wanted),
                fix=f'write {name} = ">=1.2,<2", or "*" for any version',
            )
        elif there is None:
            yield Misfit(
                rule="peer",
                problem=f"its peer `{name}` is not installed beside the host",
                got=f"it asks for {name} {wanted}",
                fix=f'pip install "{name}{"" if wanted == "*" else wanted}"',
            )
        elif not allowed.contains(there, prereleases=True):
            yield Misfit(
                rule="peer",
                problem=f"the host has another `{name}` than it asks for",
                got=f"it asks for {name} {wanted}, and the host has {there}",
                fix=f"install a version of the plugin that takes {name} {there}, or change the "
                "host's",
            )


def _dependencies(manifest: Manifest, host: Host) -> Iterator[Misfit]:
    peers = {normalised(name) for name in manifest.peers}
    for text in manifest.dependencies:
        requirement = parse_requirement(text)
        if requirement is None or requirement.url is not None:
            yield Misfit(
                rule="dependency",
                problem="a dependency is no name with a range",
                got=shown(text) or "an empty text",
                fix='write it as in dependencies = ["idna>=3.7"]; a URL is none',
            )
        else:
            yield from _dependency(requirement, host, peers)


def _dependency(requirement: Requirement, host: Host, peers: set[str]) -> Iterator[Misfit]:
    name, wanted = normalised(requirement.name), requirement.specifier
    there = host.version(name)
    if name in peers or name in host.own:
        yield Misfit(
            rule="dependency",
            problem=f"`{name}` is brought by the host and must not be a dependency",
            got=f"{shown(str(requirement))}, and the host has {there or 'none installed'}",
            fix=f'take it out, and state a peer: peers = {{{name} = "{wanted or "*"}"}}',
        )
    elif there is not None and not wanted.contains(there, prereleases=True):
        yield Misfit(
            rule="dependency",
            problem=f"`{name}` is installed beside the host in another version",
            got=f"it asks for {shown(str(requirement))}, and {there} is there",
            fix="widen the range, or change what is installed with pip",
        )


def _shadows(manifest: Manifest, host: Host) -> Iterator[Misfit]:
    package = manifest.package
    owner = host.owner_of(package, besides=manifest.name)
    if package == HOST:
        owner = HOST
    elif normalised(manifest.name) in host.own:  # or it could hide what has its name
        owner = f"{manifest.name}, which the host brings"
    elif package in sys.stdlib_module_names:
        owner = "Python"
    if owner is not None:
        yield Misfit(
            rule="package",
            problem=f"its package `{package}` would hide one that is there",
            got=f"`{package}` belongs to {owner}",
            fix="give the package a name of its own, such as your name and what it does",
        )


def _brings(name: str, package: str) -> bool:
    """Say whether an installed distribution has files in a top package."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = files(name) if name else None
    except PackageNotFoundError:
        return False
    return any(path.parts[0] == package for path in found or ())


@cache
def _own_here() -> frozenset[str]:
    """Read all of it once: a host does not change what it needs while it runs."""
    host, found, ahead = Host(), set[str](), [HOST]
    while ahead:
        name = ahead.pop()
        if name not in found and host.version(name) is not None:
            found.add(name)
            ahead += _needed_by(name)
    return frozenset(found | {HOST})


def _needed_by(name: str) -> Iterator[str]:
    from importlib.metadata import distribution

    found = distribution(name)
    extras = found.metadata.get_all("Provides-Extra") or []
    wanted = [extra for extra in extras if name == HOST and extra not in _NOT_LENT]
    for text in found.requires or ():
        requirement = parse_requirement(text)
        if requirement is None:
            continue
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
            yield normalised(requirement.name)
