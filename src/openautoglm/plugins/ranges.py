"""Versions, ranges, requirements, licences and tags, as Python's packages write them.

The one module about the package `packaging`. Knows nothing of plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

_WHY = "reading the versions that plugins ask for"


def parse_version(text: str) -> str | None:
    """Return a version as PEP 440 normalises it, or None for what is none.

    Example:
        >>> parse_version("1.0-RC1"), parse_version("new")
        ('1.0rc1', None)
    """
    need("packaging", extra="plugins", why=_WHY)
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(text))
    except InvalidVersion:
        return None


def is_lower(version: str, than: str) -> bool | None:
    """Say whether a version comes before another; None where one of them is no version.

    Example:
        >>> is_lower("1.9", "1.10"), is_lower("1.0", "1.0rc1"), is_lower("new", "1.0")
        (True, False, None)
    """
    need("packaging", extra="plugins", why=_WHY)
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return None


def parse_range(text: str) -> SpecifierSet | None:
    """Return a PEP 440 range, or None for what is none; `*` and nothing take every version."""
    need("packaging", extra="plugins", why=_WHY)
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet("" if text.strip() == "*" else text)
    except InvalidSpecifier:
        return None


def parse_licence(text: str) -> str | None:
    """Return a licence as SPDX writes it, or None for what is none.

    Example:
        >>> parse_licence("apache-2.0 or mit"), parse_licence("mine")
        ('Apache-2.0 OR MIT', None)
    """
    need("packaging", extra="plugins", why=_WHY)
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def parse_requirement(text: str) -> Requirement | None:
    """Return a PEP 508 requirement, or None for what is none."""
    need("packaging", extra="plugins", why=_WHY)
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def runs_here(tags: Sequence[str]) -> str | None:
    """Return None if a wheel with these tags can be installed here, else what this machine is."""
    need("packaging", extra="plugins", why=_WHY)
    from packaging.tags import parse_tag, sys_tags

    here = list(sys_tags())
    return None if {tag for text in tags for tag in parse_tag(text)} & set(here) else str(here[0])
