"""`oag pipeline` lists tasks and prints them so that they read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.cli.ending import run_to_end
from openautoglm.pipeline.graph import Pipeline

if TYPE_CHECKING:
    from pathlib import Path


def test_every_task_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(["pipeline", "list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"classify", "extract", "summarize"} <= set(names)


@pytest.mark.parametrize("task", ["classify", "extract", "summarize"])
def test_a_task_is_shown_as_a_file_that_does_the_same(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_to_end(["pipeline", "show", task]) == 0
    file = tmp_path / "own.yaml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert Pipeline.load(file) == Pipeline.load(task)


def test_an_unknown_task_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(["pipeline", "show", "extrac"]) == 2
    assert "did you mean `extract`?" in capsys.readouterr().err
