"""What every file of the repository must keep to."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = {".py", ".ts", ".cc", ".cu", ".h", ".mjs"}
MAX_LINES = 400
BANNED_MODULE_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "misc"}
BANNED_CLASS = re.compile(r"^class \w+(Manager|Helper|Util|Impl|Data)\b", re.MULTILINE)
BARE_EXEMPTION = re.compile(
    r"#\s*(noqa(:\s*[A-Z0-9, ]+)?|type:\s*ignore(\[[\w, -]+\])?)\s*$", re.MULTILINE
)
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b")  # brackets: not found here


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - git is on PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [path for line in listed if (path := ROOT / line).is_file()]


CODE_FILES = [path for path in tracked() if path.suffix in CODE]


@pytest.mark.parametrize("path", CODE_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_has_at_most_400_lines_and_carries_its_reasons(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert not BARE_EXEMPTION.search(text), "a noqa or type: ignore needs its reason on the line"
    assert not UNFINISHED.search(text), "unfinished work belongs in the tracker"
    assert not BANNED_CLASS.search(text), "name the noun, not its role"


def test_no_module_has_a_name_that_says_nothing() -> None:
    bad = [p for p in CODE_FILES if p.stem in BANNED_MODULE_NAMES]
    assert bad == []


def test_ci_runs_the_readmes_test_command_and_nothing_else() -> None:
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    commands = [
        s for line in lines if (s := line.strip()) and not s.startswith(("#", "set ", "cd "))
    ]
    assert commands == ["exec make test"]
