"""One version, one list of public names."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import openautoglm

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert openautoglm.__version__ == project["version"]
    assert f"## {project['version']}" in changelog


@pytest.mark.parametrize("name", openautoglm.__all__)
def test_a_public_name_resolves_and_is_in_the_reference(name: str) -> None:
    assert getattr(openautoglm, name) is not None
    assert f"`{name}`" in (ROOT / "docs/reference.md").read_text(encoding="utf-8")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        openautoglm.nope  # noqa: B018 - the look-up is the test
