"""A report is data, and says what a person has to do."""

from __future__ import annotations

import json

import pytest

from openautoglm.errors import CheckFailedError, UnknownNameError
from openautoglm.ops.check import CheckReport, CheckRow, check

PASSED = CheckRow(op="add", subject="native", row="values", status="pass", cases=3)
FAILED = CheckRow(
    op="add",
    subject="native",
    row="nan",
    status="fail",
    problem="0, not nan",
    example="add(x=f32[])",
)


def report(*rows: CheckRow) -> CheckReport:
    return CheckReport(target="add", profile="quick", seed=0, rows=rows)


def test_a_report_without_failures_is_ok_and_raises_nothing() -> None:
    assert report(PASSED).ok
    report(PASSED).raise_for_failures()


def test_a_report_in_which_nothing_was_asked_is_not_ok() -> None:
    with pytest.raises(CheckFailedError, match="nothing could be checked"):
        report().raise_for_failures()


def test_a_failure_is_raised_with_the_input_that_shows_it() -> None:
    with pytest.raises(CheckFailedError, match=r"add/native nan: 0, not nan \| add\(x=f32\[\]\)"):
        report(PASSED, FAILED).raise_for_failures()


def test_json_holds_every_row_and_the_digest_changes_with_it() -> None:
    content = json.loads(report(PASSED, FAILED).to_json())

    assert [row["status"] for row in content["rows"]] == ["pass", "fail"]
    assert content["ok"] is False
    assert report(PASSED).digest != report(PASSED, FAILED).digest


def test_the_same_check_gives_the_same_digest() -> None:
    one = check("scale_add", profile="quick", grad=False, kernels="reference", dtypes=["f32"])
    other = check("scale_add", profile="quick", grad=False, kernels="reference", dtypes=["f32"])

    assert one.ok
    assert one.digest == other.digest


def test_a_tighter_tolerance_can_fail() -> None:
    tight = check(
        "rms_norm",
        profile="quick",
        kernels="reference",
        grad=False,
        dtypes=["f32"],
        tolerances={"f32": 1e-12},
    )

    assert {row.row for row in tight.failures} >= {"values", "shapes"}


def test_the_table_has_a_line_for_each_row_and_a_summary() -> None:
    lines = str(report(PASSED, FAILED)).splitlines()

    assert len(lines) == 4
    assert lines[-1] == "add: 1 pass, 1 fail, 0 skip (quick, seed 0)"


def test_a_name_that_is_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match="operators: add, attention, "):
        check("no_such_operator")


def test_a_kernel_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no kernel `quantum`"):
        check("add", kernels="quantum")
