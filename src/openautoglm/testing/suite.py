"""What all conformance suites share: rows that are asked one by one, and answers as findings.

Owns `Row`, `findings_of` and `prove`, the front for plugin authors. Knows no extension point. A row
that never returns is not ended here: whoever runs code they do not trust runs it in a worker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from openautoglm.errors import OpenAutoGLMError, PluginContributionError
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.report import Finding, PluginReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from openautoglm.plugins.report import Status

Subject = TypeVar("Subject")
MAX_TEXT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Generic[Subject]):
    """One thing every contribution to a point must do.

    Attributes:
        name: dotted, the point first.
        check: returns what was measured; raises where it does not hold, `NotAskedError` where it
            cannot be asked.
        threshold: what has to be found.
        consequence: what happens to a user where it does not hold.
        fix: the one thing to do about it.
        warns: whether it is worth a word, but holds nothing up.
    """

    name: str
    check: Callable[[Subject], str]
    threshold: str
    consequence: str
    fix: str
    warns: bool = False


class NotAskedError(Exception):
    """A row cannot be asked; the message says why."""


def expect(condition: object, found: str) -> None:
    """Raise where a condition does not hold; `found` says what was found instead."""
    if not condition:
        raise AssertionError(found)


def findings_of(
    rows: Iterable[Row[Subject]], make: Callable[[], Subject], contribution: str = ""
) -> Iterator[Finding]:
    """Ask each row about a subject of its own; nothing is raised for what fails.

    Args:
        rows: in the order in which they are asked.
        make: makes the subject, anew for each row.
        contribution: see `Finding`.
    """
    for row in rows:
        yield replace(_asked(row, make), contribution=contribution)


def contribution_of(point: str, options: Mapping[str, object]) -> str:
    """Return how findings name what is checked: `point:name`, with the option `name`."""
    name = options.get("name")
    return f"{point}:{name}" if isinstance(name, str) else point


def prove(point: str, contribution: object, **options: object) -> tuple[Finding, ...]:
    """Check a contribution in a test: return the findings, raise with their table where one fails.

    Args:
        point: the extension point's name.
        contribution: what `object` in the manifest names.
        **options: of the point's suite; `name` is the contribution's.

    Raises:
        PluginContributionError: it is not what the point takes, or a row fails.

    Example:
        >>> from openautoglm.pipeline.steps.clean import Clean
        >>> findings = prove("step", Clean)
        >>> {finding.status for finding in findings} <= {"pass", "skip"}
        True
    """
    extension_point = POINTS.get(point)
    name = str(options.get("name") or getattr(contribution, "__name__", point))
    declared = _Declared(point=point, contract=extension_point.contract, name=name)
    adopted = extension_point.adopted(contribution, declared)
    findings = tuple(extension_point.findings(lambda: adopted, {"name": name, **options}))
    report = PluginReport(plugin=f"{point}:{name}", version="", findings=findings)
    if not report.ok:
        raise PluginContributionError(
            f"{point} `{name}` does not keep its contract", got=f"\n{report}", fix=_fix(report)
        )
    return findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    point: str
    contract: int
    name: str


def _asked(row: Row[Subject], make: Callable[[], Subject]) -> Finding:
    try:
        measured = row.check(make())
    except NotAskedError as reason:
        return Finding(row=row.name, status="skip", measured=str(reason), threshold=row.threshold)
    except (Exception, SystemExit) as cause:  # noqa: BLE001 - whatever a plugin raises is a finding
        status: Status = "warn" if row.warns else "fail"
        return Finding(
            row=row.name,
            status=status,
            measured=_said(cause),
            threshold=row.threshold,
            consequence=row.consequence,
            fix=row.fix,
        )
    return Finding(row=row.name, status="pass", measured=measured, threshold=row.threshold)


def _said(cause: BaseException) -> str:
    if isinstance(cause, AssertionError):
        return (str(cause) or "an assertion failed")[:MAX_TEXT]
    if isinstance(cause, OpenAutoGLMError):
        got = "" if cause.got is None else f" ({cause.got})"
        return f"{type(cause).__name__}: {cause.problem}{got}"[:MAX_TEXT]
    return f"{type(cause).__name__}: {cause}"[:MAX_TEXT]


def _fix(report: PluginReport) -> str:
    return report.failures[0].fix if report.failures else "give the suite what it asks for"
