"""Imports are found where they are, and those that may be missing are told apart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openautoglm.plugins.inspect.dependencies import imports
from openautoglm.plugins.inspect.distributions import brings, closure, host_distributions
from openautoglm.plugins.inspect.sources import Module, read_modules
from openautoglm.plugins.inspect.static import static_rows
from openautoglm.plugins.inspect.subject import opened


def imported(text: str, folder: Path) -> set[tuple[str, bool]]:
    (folder / "it.py").write_text(text, encoding="utf-8")
    (module,) = read_modules(folder, (Path("it.py"),))
    assert isinstance(module, Module), module
    return {(each.module, each.is_optional) for each in imports(module)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a.b, c as d", {("a", False), ("c", False)}),
        ("from a.b import c", {("a", False)}),
        ("from . import a\nfrom .b import c", set()),
        ("def f():\n    import a", {("a", False)}),
        ("try:\n    import a\nexcept ImportError:\n    a = None", {("a", True)}),
        ("try:\n    import a\nexcept ImportError:\n    import b", {("a", True), ("b", False)}),
        ("try:\n    import a\nexcept KeyError:\n    pass", {("a", False)}),
        ("try:\n    import a\nexcept (KeyError, ModuleNotFoundError):\n    pass", {("a", True)}),
        ("import typing\nif typing.TYPE_CHECKING:\n    import a", {("typing", False)}),
        ("import importlib\nimportlib.import_module('a.b')", {("importlib", False), ("a", False)}),
    ],
)
def test_an_import_is_one_that_happens(
    text: str, expected: set[tuple[str, bool]], tmp_path: Path
) -> None:
    assert imported(text, tmp_path) == expected


def test_a_module_belongs_to_the_distribution_that_brings_it() -> None:
    assert brings("PyYAML", "yaml")
    assert not brings("PyYAML", "msgspec")
    assert brings("not-installed-here", "not_installed_here")
    assert brings("python-magic", "magic")


def test_the_host_brings_what_it_needs_and_not_what_tests_it() -> None:
    assert {"openautoglm", "msgspec", "pyyaml", "numpy", "torch"} <= host_distributions()
    assert not {"hypothesis", "mypy"} & host_distributions()


def test_what_a_dependency_brings_is_not_declared() -> None:
    assert "attrs" in closure(["jsonschema"])
    assert "jsonschema" not in closure(["jsonschema"])


PROJECT = """
[project]
name = "acme-upper"
version = "1.0"
requires-python = ">=3.11"
license = "Apache-2.0"
dependencies = ["idna>=3", "wasmtime", "deptry"]

[tool.openautoglm.plugin]
schema = 1
id = "acme.upper"
host-api = ">=1.0,<2"

[[tool.openautoglm.plugin.provides]]
point = "step"
contract = 1
name = "acme.upper"
object = "acme_upper:Upper"
"""
SOURCE = """
import json
from typing import TYPE_CHECKING

import acme_nowhere
import idna.codec
import requirements
from packaging.version import Version

from acme_upper import other

if TYPE_CHECKING:
    import never

def late():
    import mkdocs.config
"""


def test_what_is_missing_and_unused_is_what_deptry_says(tmp_path: Path) -> None:
    """A second opinion; deptry calls all that is installed by chance transitive."""
    pytest.importorskip("deptry", reason="the extra `dev` has it")
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    package = tmp_path / "acme_upper"
    package.mkdir()
    (package / "__init__.py").write_text(SOURCE, encoding="utf-8")
    (package / "other.py").write_text("", encoding="utf-8")
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "deptry", ".", "--json-output", str(out)]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    said: dict[str, set[str]] = {}
    for found in json.loads(out.read_text(encoding="utf-8")):
        said.setdefault(found["error"]["code"], set()).add(found["module"])

    with opened(tmp_path) as subject:
        rows = {finding.row: finding.measured for finding in static_rows(subject)}

    undeclared = rows["static.dependencies.missing"] + rows["static.dependencies.transitive"]
    assert set(re.findall(r"`(\w+)`", undeclared)) == said["DEP001"] | said["DEP003"]
    assert set(rows["static.dependencies.unused"].split(", ")) == said["DEP002"]
