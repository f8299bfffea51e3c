"""Whether the manifest is one, and whether the host has what it extends.

Owns the rows `static.manifest`, `static.points`, `static.contract`, `static.isolation`,
`static.licence` and `static.size`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.errors import UnknownNameError
from openautoglm.plugins.inspect.rows import failed, passed
from openautoglm.plugins.points import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.manifest import Manifest, Provides
    from openautoglm.plugins.points import ExtensionPoint
    from openautoglm.plugins.report import Finding

MAX_BYTES: Final = 64 * 2**20
LICENCE_KEYS: Final = ("license", "license-expression", "license-file", "license-files")


def manifest_rows(subject: Subject) -> Iterator[Finding]:
    """Ask whether the manifest could be read, and what in it no schema can tell."""
    if subject.manifest is None:
        problem = subject.problem
        told = "there is none" if problem is None else problem.problem
        got = f", got {problem.got}" if problem is not None and problem.got is not None else ""
        fix = (problem.fix if problem is not None else None) or ""
        yield failed("static.manifest", f"{told}{got}", fix=fix)
        return
    yield passed("static.manifest", f"{len(subject.manifest.provides)} contributions")


def point_rows(manifest: Manifest) -> Iterator[Finding]:
    """Ask whether the host has each point, in the contract asked for, at the level asked for."""
    for provides in manifest.provides:
        subject = label(provides)
        try:
            point = POINTS.get(provides.point)
        except UnknownNameError as error:
            yield failed(
                "static.points",
                f"there is no extension point `{provides.point}`",
                threshold=f"one of {', '.join(POINTS.names())}",
                fix=error.fix or "",
                contribution=subject,
            )
            continue
        yield passed("static.points", contribution=subject)
        yield _contract(provides, point)
    yield _isolation(manifest)


def _contract(provides: Provides, point: ExtensionPoint) -> Finding:
    subject = label(provides)
    if provides.contract == point.contract:
        return passed("static.contract", str(point.contract), contribution=subject)
    is_newer = provides.contract > point.contract
    return failed(
        "static.contract",
        f"contract {provides.contract} of `{point.name}`",
        threshold=f"contract {point.contract}, which this host has",
        fix="use a newer host, or write for the contract it has" if is_newer else "",
        contribution=subject,
    )


def _isolation(manifest: Manifest) -> Finding:
    asked = manifest.isolation
    if asked == "auto":
        return passed("static.isolation", f"auto, which is {manifest.level}")
    for provides in manifest.provides:
        if provides.point not in POINTS.names():
            continue
        levels = POINTS.get(provides.point).levels
        if asked not in levels:
            return failed(
                "static.isolation",
                f"asks for {asked}",
                threshold=f"one of {', '.join(levels)}",
                fix=f'write isolation = "auto" or "{levels[-1]}"',
                contribution=label(provides),
            )
    return passed("static.isolation", asked)


def house_rows(subject: Subject) -> Iterator[Finding]:
    """Ask for a licence and for the size."""
    has_licence = any(subject.metadata.get(key) for key in LICENCE_KEYS)
    if has_licence:
        yield passed("static.licence")
    else:
        yield failed("static.licence", "none is named", status="warn")
    size = sum((subject.root / path).stat().st_size for path in subject.files)
    measured = f"{size / 2**20:.1f} MiB in {len(subject.files)} files"
    if size > MAX_BYTES:
        yield failed("static.size", measured, status="warn")
    else:
        yield passed("static.size", measured)


def label(provides: Provides) -> str:
    """Return how findings name a contribution."""
    return f"{provides.point}:{provides.name}"
