"""Every extension point has the parts it names, and they fit together."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any, get_args

import pytest

from openautoglm.errors import PluginContributionError, UnknownNameError
from openautoglm.plugins.manifest import IN_PROCESS_POINTS
from openautoglm.plugins.points import POINTS, Level, Part
from openautoglm.plugins.report import Finding

NAMES = POINTS.names()
REMOTE = [name for name in NAMES if POINTS.get(name).servant is not None]


def test_there_is_a_point_for_everything_the_manual_names() -> None:
    assert set(NAMES) == {
        "operator", "kernel", "backend", "source", "sink", "step", "task", "driver",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_point_can_be_loaded(name: str) -> None:
    point = POINTS.get(name)
    for part in get_args(Part):
        if getattr(point, part) is not None:
            assert callable(point.load(part)) or part == "registry"
    assert point.entries().revoke("nobody") == ()
    assert all(isinstance(entry, str) for entry in point.entries().names())


@pytest.mark.parametrize("name", NAMES)
def test_a_point_is_whole(name: str) -> None:
    point = POINTS.get(name)
    assert point.contract >= 1
    assert point.summary
    assert set(point.levels) <= set(get_args(Level))
    assert "L0" in point.levels
    assert (point.adapter is None) == (point.servant is None) == (not point.methods)
    if point.adapter is None and name != "task":
        assert point.levels == ("L0",)


@pytest.mark.parametrize("name", REMOTE)
def test_a_servant_has_the_methods_its_point_declares_and_no_others(name: str) -> None:
    point = POINTS.get(name)
    servant: Any = point.load("servant")
    methods = {n: v for n, v in vars(servant).items() if inspect.isfunction(v) and n[0] != "_"}
    assert set(methods) - {"close"} == set(point.methods)
    for method, spec in point.methods.items():
        assert inspect.isgeneratorfunction(methods[method]) == spec.stream
    if "close" in methods:
        assert list(inspect.signature(methods["close"]).parameters) == ["self"]


def test_points_that_run_in_the_host_alone_say_so() -> None:
    alone = {name for name in NAMES if POINTS.get(name).adapter is None} - {"task"}
    assert alone <= IN_PROCESS_POINTS
    with pytest.raises(PluginContributionError, match="cannot run outside") as caught:
        POINTS.get("driver").load("adapter")
    assert 'isolation = "L0"' in str(caught.value.fix)
    with pytest.raises(UnknownNameError, match="did you mean `step`"):
        POINTS.get("stap")


def test_the_registry_of_points_is_read_without_loading_what_it_names() -> None:
    code = (
        "import sys; from openautoglm.plugins.points import POINTS; POINTS.names();"
        "heavy = [m for m in sys.modules if m.startswith(('numpy', 'torch', 'msgspec', "
        "'openautoglm.engine', 'openautoglm.pipeline', 'openautoglm.ops', 'openautoglm.data'))];"
        "print(heavy)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"operator", "kernel"}))
def test_a_suite_never_raises_and_always_says_something(name: str) -> None:
    def factory() -> object:
        raise RuntimeError("nothing can be made")

    findings = list(POINTS.get(name).findings(factory, {"name": "acme.x"}))
    assert findings
    assert all(isinstance(finding, Finding) for finding in findings)
    assert {finding.status for finding in findings} <= {"fail", "warn", "skip"}
    assert any("nothing can be made" in finding.measured for finding in findings)
    assert {finding.contribution for finding in findings} == {f"{name}:acme.x"}


@pytest.mark.parametrize("name", ["operator", "kernel"])
def test_a_suite_of_operators_never_raises_either(name: str) -> None:
    for value in (None, "no such operator", 3):
        (finding,) = POINTS.get(name).findings(lambda value=value: value, {})  # type: ignore[misc]  # a default of a lambda
        assert finding.status == "fail"
