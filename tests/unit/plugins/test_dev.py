"""A save leads to the next generation, or to an error while the one before stays."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import PluginManifestError
from openautoglm.pipeline.catalog import STEPS
from openautoglm.plugins.dev import follow
from openautoglm.plugins.project import new_project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the host of plugins needs Linux")


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize("level", ["L0", "L1"])
def test_a_save_is_loaded_and_a_mistake_keeps_what_runs(tmp_path: Path, level: str) -> None:
    folder = new_project("acme.upper", kind="step", into=tmp_path)
    edit(folder / "pyproject.toml", "schema = 1", f'schema = 1\nisolation = "{level}"')
    step = folder / "src/acme_upper/step.py"
    with closing(follow(folder, test=False)) as rounds:
        first = next(rounds)
        assert (first.generation, first.is_good) == (1, True), first.lines
        assert said("a") == "A"

        edit(step, "text.upper()", "text.lower()")
        second = next(rounds)
        assert (second.generation, second.is_good) == (2, True), second.lines
        assert second.changed == ("src/acme_upper/step.py",)
        assert said("A") == "a"

        edit(step, "text.lower()", "text.lower(")
        third = next(rounds)
        assert (third.generation, third.is_good) == (2, False)
        assert "generation 2 stays" in " ".join(third.lines)
        assert said("A") == "a"

        edit(folder / "pyproject.toml", "contract = 1", "contract = one")
        assert "is not TOML" in " ".join(next(rounds).lines)
        edit(folder / "pyproject.toml", "contract = one", "contract = 1")
        edit(step, "text.lower(", "text.title()")
        assert next(rounds).generation == 3
        assert said("ab") == "Ab"
    assert "acme.upper" not in STEPS.names()


@pytest.mark.parametrize("level", ["L0", "L1"])
def test_a_mistake_is_told_with_its_place_and_what_was_printed(tmp_path: Path, level: str) -> None:
    folder = new_project("acme.upper", kind="step", into=tmp_path)
    edit(folder / "pyproject.toml", "schema = 1", f'schema = 1\nisolation = "{level}"')
    step = folder / "src/acme_upper/step.py"
    step.write_text(step.read_text() + "\nprint('so far')\nthere_is_no_such_name\n")
    line = len(step.read_text().splitlines())
    with closing(follow(folder, test=False)) as rounds:
        told = "\n".join(next(rounds).lines)
    assert "NameError" in told
    assert "logger" not in told
    assert str(tmp_path) not in told
    if level == "L0":
        assert f"at: acme_upper/step.py:{line}" in told
    else:
        assert f'File "acme_upper/step.py", line {line}' in told
        assert "so far" in told


def said(text: str) -> object:
    return STEPS.get("acme.upper")().run(text=text)["text"]


def test_the_tests_of_the_project_decide(tmp_path: Path) -> None:
    folder = new_project("acme.upper", kind="step", into=tmp_path)
    edit(folder / "pyproject.toml", "schema = 1", 'schema = 1\nisolation = "L1"')
    edit(folder / "tests/test_step.py", '"HÉLLO', '"OTHER')
    with closing(follow(folder)) as rounds:
        first = next(rounds)
    assert not first.is_good
    assert "1 failed, 1 passed" in " ".join(first.lines)


def test_a_folder_without_a_project_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(PluginManifestError):
        next(follow(tmp_path))
