from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.plugins.report import Finding, PluginReport

GOOD = Finding(row="static.manifest", status="pass", measured="whole")
BAD = Finding(
    row="dynamic.latency",
    status="fail",
    measured="P95 250 ms",
    threshold="P95 < 100 ms",
    consequence="pipelines wait",
    fix="do less in `run`",
    contribution="step:acme.slow",
)


def report(*findings: Finding) -> PluginReport:
    return PluginReport(plugin="acme.slow", version="1.0", findings=findings)


def test_a_report_is_ok_where_something_was_asked_and_nothing_fails() -> None:
    assert report(GOOD).ok
    assert report(GOOD, Finding(row="x", status="warn"), Finding(row="y", status="skip")).ok
    assert not report(GOOD, BAD).ok
    assert not report().ok
    assert not report(Finding(row="y", status="skip")).ok
    assert report(GOOD, BAD).failures == (BAD,)


def test_a_failed_row_prints_value_threshold_consequence_and_fix() -> None:
    lines = str(report(GOOD, BAD)).splitlines()
    assert lines[1].split() == ["static.manifest", "pass", "whole"]
    assert lines[2].split()[:3] == ["dynamic.latency", "fail", "step:acme.slow"]
    assert [line.strip() for line in lines[3:6]] == [
        "threshold: P95 < 100 ms",
        "consequence: pipelines wait",
        "fix: do less in `run`",
    ]
    assert lines[-1] == "acme.slow 1.0: 1 pass, 1 fail, 0 warn, 0 skip (full)"


TEXTS = st.text(max_size=20)
FINDINGS = st.builds(
    Finding,
    row=TEXTS,
    status=st.sampled_from(["pass", "fail", "warn", "skip"]),
    measured=TEXTS,
    threshold=TEXTS,
    consequence=TEXTS,
    fix=TEXTS,
    contribution=TEXTS,
)


@given(findings=st.lists(FINDINGS, max_size=4))
def test_json_is_read_back_as_the_same_report_with_the_same_digest(
    findings: list[Finding],
) -> None:
    made = report(*findings)
    again = PluginReport.from_json(made.to_json())
    assert again == made
    assert again.digest == made.digest
    assert json.loads(made.to_json())["ok"] == made.ok
    assert str(made)


def test_other_findings_have_another_digest() -> None:
    assert report(GOOD).digest != report(BAD).digest


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"plugin":"a"}', '{"findings":[{"x":1}]}'])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        PluginReport.from_json(text)
