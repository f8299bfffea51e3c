"""`validate_plugin`: whether a plugin may be trusted to do what it says, as a report.

Owns the order of a whole check: static rows, then dynamic rows of what the static ones left over.
The requirement calls it `ValidatePlugin`; both names are one function.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from openautoglm.plugins.inspect.static import Beside, static_rows
from openautoglm.plugins.inspect.subject import opened
from openautoglm.plugins.report import Finding, PluginReport
from openautoglm.plugins.trial.dynamic import Plan, trial_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.plugins.host.sandbox import Level
    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.trial.nursery import Nursery

Profile: TypeAlias = Literal["full", "quick"]
BARS: Final = frozenset(
    {"static.points", "static.contract", "static.object", "static.kind", "static.protocol"}
)
"""Rows of one contribution that keep it from being tried."""

QUICK_TIMEOUT_S: Final = 10.0
FULL_TIMEOUT_S: Final = 30.0


def validate_plugin(  # noqa: PLR0913 - each is one thing to say, by name
    plugin: object,
    *,
    isolation: Level = "L2",
    profile: Profile = "full",
    previous: str | os.PathLike[str] | None = None,
    requests: str | os.PathLike[str] | None = None,
    advisories: str | os.PathLike[str] | None = None,
    p95_ms: float = 100.0,
    timeout_s: float | None = None,
    readable: Sequence[str | os.PathLike[str]] = (),
    nursery: Nursery | None = None,
) -> PluginReport:
    """Check a plugin and return what was found; nothing is raised for what fails.

    Args:
        plugin: folder of a project, or a wheel. A live object is asked for its `name` and
            `process` only.
        isolation: "L2" tries it in the sandbox; "L1" unconfined, for code that is trusted.
        profile: `quick` makes fewer calls, where more only add certainty.
        previous: wheel or project of the version before, to compare names with.
        requests: file of recorded requests; `tests/requests.jsonl` of a project by default.
        advisories: folder of OSV files; without one, known holes are not looked for.
        p95_ms: most milliseconds that 95 of 100 calls may take.
        timeout_s: how long one call, or importing the plugin, may take; 30, or 10 if quick.
        readable: files and folders it may read in the sandbox, such as a model of its requests.
        nursery: where processes come from, to share a warm one between several checks.

    Raises:
        PluginPackageError: there is no plugin, or its wheel is damaged.
        PluginCheckError: the requests or the advisories cannot be read.
        MissingExtraError: griffe is not installed.

    Example:
        >>> class Shouting:
        ...     name = "shouting"
        ...     def process(self, text):
        ...         return text.upper()
        >>> validate_plugin(Shouting()).ok
        True
    """
    if not isinstance(plugin, str | os.PathLike):
        return _live(plugin)
    is_quick = profile == "quick"
    plan = Plan(
        level=isolation,
        is_quick=is_quick,
        p95_ms=p95_ms,
        timeout_s=timeout_s or (QUICK_TIMEOUT_S if is_quick else FULL_TIMEOUT_S),
        requests=None if requests is None else Path(requests),
        readable=tuple(Path(path) for path in readable),
    )
    beside = Beside(
        previous=None if previous is None else Path(previous),
        advisories=None if advisories is None else Path(advisories),
    )
    with opened(Path(os.fsdecode(plugin))) as subject:
        findings = list(static_rows(subject, beside))
        findings += _dynamic(subject, plan, findings, nursery)
        manifest = subject.manifest
    return PluginReport(
        plugin=subject.path.name if manifest is None else manifest.id,
        version="" if manifest is None else manifest.version,
        findings=tuple(findings),
        profile=profile,
    )


ValidatePlugin = validate_plugin


def _dynamic(
    subject: Subject, plan: Plan, static: Sequence[Finding], nursery: Nursery | None
) -> Iterator[Finding]:
    bad = [finding for finding in static if finding.status == "fail"]
    if subject.manifest is None or any(f.row in {"static.source", "static.manifest"} for f in bad):
        yield Finding(row="trial.load", status="skip", measured="what is there cannot be loaded")
        return
    barred = {finding.contribution for finding in bad if finding.row in BARS}
    labels = frozenset(f"{p.point}:{p.name}" for p in subject.manifest.provides) - barred
    if not labels:
        yield Finding(row="trial.load", status="skip", measured="nothing is left to be loaded")
        return
    yield from trial_rows(subject, subject.manifest, plan, labels=labels, nursery=nursery)


def _live(plugin: object) -> PluginReport:
    """Ask a live object for what the requirement's table asks: a name, and how it works."""
    name = getattr(plugin, "name", None)
    name = name() if callable(name) else name
    is_named = isinstance(name, str) and bool(name)
    findings = (
        Finding(
            row="live.name",
            status="pass" if is_named else "fail",
            measured=str(name) if is_named else "plugin name cannot be empty",
            threshold="a text that is not empty",
            consequence="" if is_named else "nothing can find it, and no message can name it",
            fix="" if is_named else "give it a `name`",
        ),
        _process(getattr(plugin, "process", None)),
    )
    return PluginReport(
        plugin=str(name) if is_named else type(plugin).__name__, version="", findings=findings
    )


def _process(process: object) -> Finding:
    is_there = callable(process)
    return Finding(
        row="live.process",
        status="pass" if is_there else "fail",
        measured="" if is_there else "Process function not implemented",
        threshold="a method",
        consequence="" if is_there else "the first request ends in an error",
        fix="" if is_there else "write `def process(self, ...)`",
    )
