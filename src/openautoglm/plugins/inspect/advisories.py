"""Known holes in what a plugin depends on, from a folder of advisories on this machine.

Owns the reader of OSV files (https://ossf.github.io/osv-schema/), as PyPA's advisory database and
OSV's exports are made of, and the row `static.dependencies.known-bad`. Nothing is downloaded. Only
ecosystem PyPI, and of its ranges only those of versions, are read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openautoglm.errors import PluginCheckError
from openautoglm.plugins.inspect.distributions import closure, installed_version
from openautoglm.plugins.inspect.rows import failed, passed, shown, skipped
from openautoglm.plugins.manifest import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from packaging.requirements import Requirement

    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.report import Finding

ROW = "static.dependencies.known-bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One hole in one distribution.

    Attributes:
        id: as the database names it.
        name: the distribution, normalised.
        versions: those that are listed one by one.
        spans: those that have it: from the first, up to but without the second, or up to and with
            the third; None where there is no such end.
    """

    id: str
    name: str
    versions: frozenset[str]
    spans: tuple[tuple[str, str | None, str | None], ...]

    def holds(self, version: str) -> bool:
        """Whether a version has the hole."""
        from packaging.version import Version

        asked = Version(version)
        for start, fixed, last in self.spans:
            if start != "0" and asked < Version(start):
                continue
            if fixed is not None and asked >= Version(fixed):
                continue
            if last is None or asked <= Version(last):
                return True
        return version in self.versions


def read_advisories(folder: Path) -> tuple[Advisory, ...]:
    """Read every `*.json` below a folder, without withdrawn ones and other ecosystems.

    Raises:
        PluginCheckError: there is no such folder, or a file in it is no advisory.
    """
    if not folder.is_dir():
        raise PluginCheckError(
            "there is no folder of advisories",
            got=str(folder),
            fix="unpack PyPI's advisories of https://osv.dev into a folder, and name that",
        )
    found: list[Advisory] = []
    for file in sorted(folder.rglob("*.json")):
        try:
            found += _advisories(json.loads(file.read_bytes()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as cause:
            raise PluginCheckError(
                "a file of the advisories cannot be read",
                got=f"{file}: {type(cause).__name__}: {cause}",
                fix="keep OSV's files in that folder alone",
            ) from cause
    return tuple(found)


def _advisories(entry: Mapping[str, object]) -> Iterator[Advisory]:
    if entry.get("withdrawn"):
        return
    affected = entry.get("affected", [])
    for part in affected if isinstance(affected, list) else []:
        package = part["package"]
        if package["ecosystem"] != "PyPI":
            continue
        ranges = [r for r in part.get("ranges", []) if r["type"] in {"ECOSYSTEM", "SEMVER"}]
        yield Advisory(
            id=str(entry["id"]),
            name=normalised(package["name"]),
            versions=frozenset(part.get("versions", [])),
            spans=tuple(span for each in ranges for span in _spans(each["events"])),
        )


def _spans(events: list[dict[str, str]]) -> Iterator[tuple[str, str | None, str | None]]:
    start: str | None = None
    for event in events:
        if "introduced" in event:
            start = event["introduced"]
        elif start is not None and ("fixed" in event or "last_affected" in event):
            yield start, event.get("fixed"), event.get("last_affected")
            start = None
    if start is not None:
        yield start, None, None


def known_bad_rows(manifest: Manifest, folder: Path | None) -> Iterator[Finding]:
    """Look for what a plugin's own dependencies bring.

    A version that is pinned or installed here counts; else it is asked whether the range lets
    any version through that is not known to be bad. What dependencies bring along is looked at as
    far as it is installed here. The host's peers are the host's to look after.
    """
    if folder is None:
        yield skipped(ROW, "no folder of advisories was named")
        return
    from packaging.requirements import Requirement

    by_name: dict[str, list[Advisory]] = {}
    for advisory in read_advisories(folder):
        by_name.setdefault(advisory.name, []).append(advisory)
    requirements = [Requirement(line) for line in manifest.dependencies]
    along = [Requirement(name) for name in sorted(closure(r.name for r in requirements))]
    bad = []
    for requirement in [*requirements, *along]:
        advisories = by_name.get(normalised(requirement.name), [])
        bad += [text for each in advisories if (text := _hit(requirement, each))]
    if bad:
        yield failed(ROW, shown(bad))
    else:
        count = len(requirements) + len(along)
        yield passed(ROW, f"{count} distributions, {sum(map(len, by_name.values()))} advisories")


def _hit(requirement: Requirement, advisory: Advisory) -> str:
    """Return how a requirement brings a hole, empty where it does not."""
    pins = [s.version for s in requirement.specifier if s.operator in {"==", "==="}]
    version = pins[0] if pins and "*" not in pins[0] else installed_version(requirement.name)
    if version is not None and requirement.specifier.contains(version, prereleases=True):
        return f"{advisory.id} in {requirement.name} {version}" if advisory.holds(version) else ""
    ends = [fixed for _, fixed, _ in advisory.spans]
    allowed = [f for f in ends if f and requirement.specifier.contains(f, prereleases=True)]
    if ends and not allowed and not _reaches_beyond(requirement, advisory):
        return f"{advisory.id} in every version of `{requirement}`"
    return ""


def _reaches_beyond(requirement: Requirement, advisory: Advisory) -> bool:
    """Whether some bound that the requirement itself names has not the hole."""
    bounds = [s.version for s in requirement.specifier if s.operator in {">=", ">", "~=", "<="}]
    return any(not advisory.holds(bound) for bound in bounds)
