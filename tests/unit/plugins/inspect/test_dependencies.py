"""Imports are found where they are, and those that may be missing are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from openautoglm.plugins.inspect.dependencies import imports
from openautoglm.plugins.inspect.distributions import brings, closure, host_distributions
from openautoglm.plugins.inspect.sources import Module, read_modules


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
