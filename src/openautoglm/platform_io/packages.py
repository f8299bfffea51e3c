"""Which packages are installed here, by their metadata: none is imported.

Owns `Package`, `look_for_packages` and `installed_version`. Knows nothing of what they are for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)[^;]*(;.*extra\s*==\s*['\"](?P<extra>[^'\"]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package we use; `extra` is None for what is always installed."""

    name: str
    version: str | None
    extra: str | None


def look_for_packages(requirements: Iterable[str]) -> tuple[Package, ...]:
    """Return the version of every required package, without importing any."""
    found = (REQUIREMENT.match(text) for text in requirements)
    return tuple(
        Package(name=m["name"], version=installed_version(m["name"]), extra=m["extra"])
        for m in found
        if m is not None
        and m["extra"] != "dev"
        and m["name"] != "openautoglm"  # an extra in another
    )


def installed_version(package: str) -> str | None:
    """Return a package's version from its metadata, or None when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
