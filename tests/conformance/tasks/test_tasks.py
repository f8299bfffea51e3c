"""One suite over every task that comes with the package, and over broken ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import PluginContributionError
from openautoglm.pipeline.catalog import TASKS
from openautoglm.plugins.points import POINTS
from openautoglm.testing import prove

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", TASKS.names())
def test_a_task_of_the_package_keeps_the_contract(name: str) -> None:
    findings = prove("task", TASKS.get(name), name=name)
    assert {finding.status for finding in findings} == {"pass"}


GOOD = """\
name: clean
description: Text without markup.
inputs: {text: {to: clean.text, description: the text}}
components: {clean: {type: text.clean}}
outputs: {text: clean.text}
"""


def test_a_good_task_of_a_plugin_passes(tmp_path: Path) -> None:
    file = tmp_path / "clean.yaml"
    file.write_text(GOOD, encoding="utf-8")
    prove("task", file)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        (b"\xff\xfe", "task.reads"),
        (b"", "task.reads"),
        (GOOD.replace("text.clean", "text.cleen").encode(), "task.graph"),
        (GOOD.replace("clean.text}", "clean.txt}").encode(), "task.graph"),
        (GOOD.replace("{text: clean.text}", "{text: clean.words}").encode(), "task.graph"),
        (
            GOOD.replace("text.clean}", "text.needs_cleaning}")
            .replace("outputs: {text: clean.text}", "outputs: {text: clean.dirty}")
            .encode(),
            "task.runs",
        ),
        (
            (
                b"name: ask\ndescription: asks\n"
                b"inputs: {text: {to: p.generation, description: t}}\n"
                b"components: {p: {type: output.parse, params: {kind: json}}}\n"
                b"outputs: {value: p.value}\n"
            ),
            "task.streams",
        ),
    ],
)
def test_a_broken_task_is_caught_by_the_row_that_should(
    tmp_path: Path, text: bytes, row: str
) -> None:
    file = tmp_path / "task.yaml"
    file.write_bytes(text)
    failed = {f.row: f for f in POINTS.get("task").findings(lambda: file) if f.status == "fail"}
    assert row in failed
    assert failed[row].measured


def test_a_silent_task_gets_a_word_but_is_not_held_up(tmp_path: Path) -> None:
    file = tmp_path / "clean.yaml"
    file.write_text(GOOD.replace("description: Text without markup.\n", ""), encoding="utf-8")
    findings = prove("task", file)
    assert [finding.row for finding in findings if finding.status == "warn"] == ["task.describes"]


class Named:
    point = "task"
    contract = 1
    name = "x"


def test_what_is_no_yaml_file_is_not_adopted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(GOOD, encoding="utf-8")
    for value in (tmp_path, tmp_path / "no.yaml", tmp_path / "a.txt", GOOD, None):
        with pytest.raises(PluginContributionError):
            POINTS.get("task").adopted(value, Named())
