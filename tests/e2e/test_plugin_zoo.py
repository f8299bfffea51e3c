"""Every plugin that is broken on purpose is caught, by the rows that should and by no others.

The second and third line of each pyproject.toml name the rows. No good plugin is refused, however
odd it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.inspect.static import Beside, static_rows
from openautoglm.plugins.inspect.subject import opened
from openautoglm.plugins.trial.nursery import Nursery
from openautoglm.plugins.validation import validate_plugin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.plugins.report import Finding

ROOT: Final = Path(__file__).parents[2] / "plugins"
BROKEN: Final = sorted(path.parent for path in ROOT.glob("broken/*/pyproject.toml"))
GOOD: Final = sorted(path.parent for path in ROOT.glob("good/*/pyproject.toml"))
TIMEOUT_S: Final = 3.0

needs_sandbox = pytest.mark.skipif(
    not supported().sandbox, reason="; ".join(supported().reasons) or "-"
)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as warm:
        yield warm


def expected(folder: Path, kind: str) -> set[str]:
    for line in (folder / "pyproject.toml").read_text(encoding="utf-8").splitlines()[:3]:
        if line.startswith(f"# {kind}: "):
            return set(line.partition(": ")[2].split(", ")) - {"nothing"}
    return set()


def rows(findings: Sequence[Finding], status: str) -> set[str]:
    return {finding.row for finding in findings if finding.status == status}


def beside(folder: Path) -> Beside:
    previous, advisories = folder / "previous", folder / "advisories"
    return Beside(
        previous=previous if previous.is_dir() else None,
        advisories=advisories if advisories.is_dir() else None,
    )


def all_said(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.status in {"fail", "warn"}:
            assert finding.measured, finding
            assert finding.threshold, finding
            assert finding.consequence, finding
            assert finding.fix, finding


def test_the_zoo_is_large() -> None:
    caught = [folder for folder in BROKEN if expected(folder, "Found by")]
    assert len(caught) >= 60
    assert len(GOOD) >= 6


@pytest.mark.parametrize("folder", BROKEN, ids=lambda folder: folder.name)
def test_the_static_rows_that_should_fail_and_no_others(folder: Path) -> None:
    with opened(folder) as subject:
        found = list(static_rows(subject, beside(folder)))

    for status, kind in (("fail", "Found by"), ("warn", "Warned of by")):
        wanted = {row for row in expected(folder, kind) if row.startswith("static.")}
        assert rows(found, status) == wanted
    all_said(found)


@needs_sandbox
@pytest.mark.parametrize("folder", BROKEN, ids=lambda folder: folder.name)
def test_a_broken_plugin_is_caught_by_the_rows_that_should(folder: Path, nursery: Nursery) -> None:
    report = validate_plugin(
        folder,
        profile="quick",
        timeout_s=TIMEOUT_S,
        nursery=nursery,
        previous=beside(folder).previous,
        advisories=beside(folder).advisories,
    )

    assert rows(report.findings, "fail") == expected(folder, "Found by"), str(report)
    assert rows(report.findings, "warn") == expected(folder, "Warned of by"), str(report)
    assert report.ok is not bool(expected(folder, "Found by"))
    all_said(report.findings)


@needs_sandbox
@pytest.mark.parametrize("folder", GOOD, ids=lambda folder: folder.name)
def test_a_good_plugin_is_not_refused(folder: Path, nursery: Nursery) -> None:
    report = validate_plugin(folder, profile="quick", timeout_s=TIMEOUT_S, nursery=nursery)

    assert report.ok, str(report)
    assert rows(report.findings, "warn") == expected(folder, "Warned of by"), str(report)
