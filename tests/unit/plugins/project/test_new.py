"""A project is made whole from its template, or not at all."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import PluginProjectError
from openautoglm.plugins.manifest import Manifest
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.project import KINDS, new_project
from openautoglm.plugins.project.kinds import ProjectName

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_a_project_with_a_whole_manifest(kind: str, tmp_path: Path) -> None:
    folder = new_project("acme.try-it", kind=kind, into=tmp_path / "deep")
    assert folder == tmp_path / "deep/acme-try-it"
    manifest = Manifest.from_project(folder)
    assert (manifest.id, manifest.package) == ("acme.try-it", "acme_try_it")
    for each in manifest.provides:
        point = POINTS.get(each.point)
        assert each.contract == point.contract
        assert manifest.level in point.levels
    assert (folder / "tests").is_dir()
    assert (folder / ".gitignore").is_file()
    for file in folder.rglob("*"):
        assert "@{" not in file.name
        assert not file.name.endswith(".tmpl")
        if file.is_file():
            assert "@{" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_what_object_and_sources_name_is_there(kind: str, tmp_path: Path) -> None:
    folder = new_project("acme.try-it", kind=kind, into=tmp_path)
    for each in Manifest.from_project(folder).provides:
        if each.sources is not None:
            assert any((folder / "src/acme_try_it" / each.sources).iterdir())
        else:
            module, _, name = (each.object or "").partition(":")
            source = (folder / "src" / (module.replace(".", "/") + ".py")).read_text()
            defined = {getattr(node, "name", None) for node in ast.parse(source).body}
            assert name in defined or f"\n{name} = " in source


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_every_kind_passes_its_own_linters(kind: str, tmp_path: Path) -> None:
    folder = new_project("acme.try-it", kind=kind, into=tmp_path)
    ruff = Path(sys.executable).parent / "ruff"
    for command in (["check", "--no-cache"], ["format", "--no-cache", "--check"]):
        done = subprocess.run(
            [ruff, *command, str(folder)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "../x",
        "a/b",
        "a\\b",
        "/etc/x",
        ".",
        "..",
        "a..b",
        "a b",
        "名字",
        "аcme",
        "x\0y",
        "-x",
        "1x",
        "a" * 61,
        "class",
        "json",
        "os",
        "openautoglm",
        "@{id}",
        "a\nb",
    ],
)
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(PluginProjectError) as refused:
        new_project(name, kind="step", into=tmp_path)
    assert refused.value.fix
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=30))
def test_any_text_is_a_name_of_safe_spellings_or_is_refused(text: str) -> None:
    try:
        name = ProjectName.parse(text)
    except PluginProjectError:
        return
    assert name.package.isidentifier()
    assert name.class_name.isidentifier()
    assert os.sep not in name.distribution
    assert name.distribution.isascii()


def test_an_unknown_kind_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(PluginProjectError, match="no such kind") as refused:
        new_project("acme.x", kind="opera", into=tmp_path)
    assert "operator-cuda" in str(refused.value)


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "acme-x").mkdir()
    with pytest.raises(PluginProjectError, match="of that name"):
        new_project("acme.x", kind="step", into=tmp_path)
    assert list((tmp_path / "acme-x").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PluginProjectError, match="cannot be written"):
        new_project("acme.x", kind="step", into=tmp_path)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginProjectError, match="cannot be written"):
        new_project("acme.x", kind="step", into=tmp_path / "file")


def test_the_names_of_tests_and_package_go_with_the_name(tmp_path: Path) -> None:
    folder = new_project("Acme.Fast_Add", kind="operator-python", into=tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == "acme-fast-add"
    assert (folder / "src/acme_fast_add/operator.py").is_file()
    assert "class FastAdd(" in (folder / "src/acme_fast_add/operator.py").read_text()
