"""Every row has its words, its place in the manual and a plugin that it catches."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from openautoglm.plugins.inspect.questions import QUESTIONS
from openautoglm.plugins.inspect.rows import failed

ROOT: Final = Path(__file__).parents[4]
NOT_SHOWN: Final = {
    "static.size": "a plugin of 64 MiB has no place in a repository",
    "trial.sandbox": "it is the machine that fails here",
    "trial.conformance": "the rows of a suite stand for themselves; a crash over it is rare",
}


def test_the_manual_has_every_row_with_its_words() -> None:
    page = (ROOT / "docs" / "plugin-check.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| `((?:static|trial)\.[\w.-]+)` \| (.*) \| (.*) \|$", page, re.MULTILINE
    )
    assert listed == [(q.row, q.threshold, q.consequence) for q in QUESTIONS.values()]


@pytest.mark.parametrize("row", QUESTIONS)
def test_a_row_that_fails_says_what_to_do(row: str) -> None:
    finding = failed(row, "something")
    assert finding.threshold
    assert finding.consequence
    assert finding.fix


def test_every_row_catches_a_plugin_of_the_zoo() -> None:
    caught: set[str] = set()
    for file in (ROOT / "plugins" / "broken").glob("*/pyproject.toml"):
        for line in file.read_text(encoding="utf-8").splitlines()[:3]:
            if line.startswith(("# Found by: ", "# Warned of by: ")):
                caught |= set(line.partition(": ")[2].split(", "))
    assert set(QUESTIONS) - caught == set(NOT_SHOWN)
