"""Every broken operator of the zoo is found, by the row that should find it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("torch", reason="the rows about gradients and graphs need torch")

from openautoglm import ops
from openautoglm.native.toolchain import runtime_library
from openautoglm.ops.check import CheckReport, check

ZOO: Final = Path(__file__).parents[4] / "plugins" / "broken-ops"
FOUND: Final = {
    "crashes-on-empty": {("crashes-on-empty", "survives")},
    "drops-autocast": {("torch", "autocast")},
    "drops-nan": {("compares", "nan")},
    "hangs": {("hangs", "survives")},
    "ignores-an-attribute": {("doubles", "attributes")},
    "leaks": {("leaks", "memory")},
    "leaks-objects": {("remembers", "memory")},
    "nondeterministic": {("shuffles", "determinism")},
    "not-thread-safe": {("not-thread-safe", "threads")},
    "out-of-bounds": {("out-of-bounds", "bounds")},
    "splits-autocast": {("torch", "autocast"), ("torch", "autocast compiled")},
    "writes-its-input": {("in_place", "inputs"), ("in_place", "threads"), ("torch", "opcheck")},
    "wrong-dtype": {("contract", "dtype")},
    "wrong-fake": {("torch", "compiled"), ("torch", "autocast compiled")},
    "wrong-gradient": {("torch", "gradient")},
    "wrong-on-strides": {("wrong-on-strides", "strides")},
    "wrong-second-gradient": {("torch", "second gradient")},
    "wrong-shape": {("contract", "shape")},
}
CONSEQUENCES: Final = {"writes-its-input": {("torch", "vmap")}}
"""What may be found as well, by chance or not."""


def checked(name: str) -> CheckReport:
    assert runtime_library().is_file()
    return check(ZOO / name, profile="quick", dtypes=["f32", "f64"])


def test_the_zoo_and_the_table_have_the_same_operators() -> None:
    folders = {path.name for path in ZOO.iterdir() if (path / "op.py").is_file()}

    assert folders == set(FOUND)


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_broken_operator_is_found_by_the_row_that_should_and_no_other(name: str) -> None:
    report = checked(name)

    found = {(row.subject, row.row) for row in report.failures}
    assert found - CONSEQUENCES.get(name, set()) == FOUND[name]
    assert not report.ok
    assert all(row.problem and row.example for row in report.failures)


def test_what_a_path_brought_in_is_gone_afterwards() -> None:
    before = ops.names()

    checked("wrong-shape")

    assert ops.names() == before


def test_a_crash_names_the_smallest_input() -> None:
    report = check(ZOO / "crashes-on-empty", profile="quick", grad=False, dtypes=["f32"])

    (crash,) = report.failures
    assert crash.example.startswith("crashes_on_empty(x=f32[0])")
    assert "Segmentation fault" in crash.problem


def test_a_failure_on_strides_shrinks_to_four_elements() -> None:
    report = check(ZOO / "wrong-on-strides", profile="quick", grad=False, dtypes=["f32"])

    (failure,) = report.failures
    assert "x=f32[2, 2] transposed" in failure.example or "x=f32[2]" in failure.example
