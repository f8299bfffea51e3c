"""Advisories are read as OSV writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import PluginCheckError
from openautoglm.plugins.inspect.advisories import known_bad_rows, read_advisories
from openautoglm.plugins.manifest import Manifest, Provides

if TYPE_CHECKING:
    from pathlib import Path


def manifest(*dependencies: str) -> Manifest:
    step = Provides(point="step", contract=1, name="a", object="acme:Step")
    return Manifest(
        id="acme",
        name="acme",
        version="1.0",
        package="acme",
        host_api=">=1.0",
        provides=(step,),
        dependencies=dependencies,
    )


def advisory(*events: dict[str, str], **extra: object) -> dict[str, object]:
    package = {"ecosystem": "PyPI", "name": "Acme_Parser"}
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    return {"id": "A-1", "affected": [{"package": package, "ranges": ranges}], **extra}


def status(folder: Path, entry: dict[str, object], *dependencies: str) -> str:
    (folder / "a.json").write_text(json.dumps(entry), encoding="utf-8")
    (finding,) = known_bad_rows(manifest(*dependencies), folder)
    return finding.status


FIXED = advisory({"introduced": "1.2"}, {"fixed": "1.5"})
LAST = advisory({"introduced": "0"}, {"last_affected": "2.0"})
OPEN = advisory({"introduced": "0"})


@pytest.mark.parametrize(
    ("entry", "dependency", "expected"),
    [
        (FIXED, "acme-parser==1.4", "fail"),
        (FIXED, "acme-parser==1.5", "pass"),
        (FIXED, "acme-parser==1.1", "pass"),
        (FIXED, "acme-parser>=1.2", "pass"),
        (FIXED, "acme-parser>=1.2,<1.5", "fail"),
        (FIXED, "acme-parser>=1.6", "pass"),
        (FIXED, "another==1.4", "pass"),
        (LAST, "acme-parser==2.0", "fail"),
        (LAST, "acme-parser==2.0.1", "pass"),
        (OPEN, "acme-parser==9", "fail"),
        (OPEN, "acme.parser", "fail"),
    ],
)
def test_a_version_is_bad_where_its_range_says_so(
    entry: dict[str, object], dependency: str, expected: str, tmp_path: Path
) -> None:
    assert status(tmp_path, entry, dependency) == expected


def test_one_that_was_withdrawn_counts_no_more(tmp_path: Path) -> None:
    entry = {**OPEN, "withdrawn": "2026-01-01T00:00:00Z"}
    assert status(tmp_path, entry, "acme-parser==1") == "pass"


def test_without_a_folder_nothing_is_known() -> None:
    (finding,) = known_bad_rows(manifest(), None)
    assert finding.status == "skip"


def test_what_is_no_advisory_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]", encoding="utf-8")
    with pytest.raises(PluginCheckError, match="cannot be read") as caught:
        read_advisories(tmp_path)
    assert "a.json" in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginCheckError, match="no folder"):
        read_advisories(tmp_path / "nowhere")
