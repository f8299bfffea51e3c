"""Every plugin that is broken on purpose is caught, by the row that should and by no other.

The second and third line of each pyproject.toml name the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from openautoglm.plugins.inspect.static import Beside, static_rows
from openautoglm.plugins.inspect.subject import opened

ROOT: Final = Path(__file__).parents[2] / "plugins"
BROKEN: Final = sorted(path.parent for path in ROOT.glob("broken/*/pyproject.toml"))


def expected(folder: Path, kind: str) -> set[str]:
    for line in (folder / "pyproject.toml").read_text(encoding="utf-8").splitlines()[:3]:
        if line.startswith(f"# {kind}: "):
            return set(line.partition(": ")[2].split(", ")) - {"nothing"}
    return set()


def beside(folder: Path) -> Beside:
    previous, advisories = folder / "previous", folder / "advisories"
    return Beside(
        previous=previous if previous.is_dir() else None,
        advisories=advisories if advisories.is_dir() else None,
    )


@pytest.mark.parametrize("folder", BROKEN, ids=lambda folder: folder.name)
def test_the_static_rows_that_should_fail_and_no_others(folder: Path) -> None:
    with opened(folder) as subject:
        found = list(static_rows(subject, beside(folder)))

    for status, kind in (("fail", "Found by"), ("warn", "Warned of by")):
        rows = {finding.row for finding in found if finding.status == status}
        assert rows == {row for row in expected(folder, kind) if row.startswith("static.")}
    for finding in found:
        if finding.status in {"fail", "warn"}:
            assert finding.measured
            assert finding.threshold
            assert finding.consequence
            assert finding.fix
