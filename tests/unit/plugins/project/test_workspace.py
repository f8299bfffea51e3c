"""Several projects side by side: who is a member, and a new one becomes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import PluginManifestError, PluginProjectError
from openautoglm.plugins.project import new_project
from openautoglm.plugins.project.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path


def workspace(folder: Path, text: str) -> Workspace:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    found = Workspace.at(folder)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    [
        "[tool.uv.workspace]\nmembers = []\n",
        '[tool.uv.workspace]\nmembers = ["lib"] # ours\n',
        '[tool.uv.workspace]\n# first\nmembers = [\n  "lib",\n]\nexclude = ["old"]\n',
        '[tool.uv.workspace]\nmembers = [\n  "lib"\n]\n',
    ],
)
def test_a_new_project_becomes_a_member_and_comments_stay(tmp_path: Path, text: str) -> None:
    before = workspace(tmp_path, text)
    folder = new_project("acme.x", kind="step", into=tmp_path)
    after = Workspace.at(tmp_path)
    assert after is not None
    assert after.members == (*before.members, "acme-x")
    assert after.holds(folder)
    changed = (tmp_path / "pyproject.toml").read_text()
    assert [c for c in ("# ours", "# first", "exclude") if c in text] == [
        c for c in ("# ours", "# first", "exclude") if c in changed
    ]


def test_a_pattern_that_matches_already_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    text = '[tool.uv.workspace]\nmembers = ["plugins/*"]\n'
    workspace(tmp_path, text)
    new_project("acme.x", kind="step", into=tmp_path / "plugins")
    new_project("acme.y", kind="step", into=tmp_path / "plugins")
    assert (tmp_path / "pyproject.toml").read_text() == text
    found = Workspace.around(tmp_path / "plugins/acme-x")
    assert found is not None
    assert [member.name for member in found.projects()] == ["acme-x", "acme-y"]


def test_a_name_another_member_has_is_refused(tmp_path: Path) -> None:
    workspace(tmp_path, '[tool.uv.workspace]\nmembers = ["a/*", "b/*"]\n')
    new_project("acme.x", kind="step", into=tmp_path / "a")
    with pytest.raises(PluginProjectError, match="is called `acme-x`"):
        new_project("acme.x", kind="step", into=tmp_path / "b")


def test_an_excluded_folder_is_refused(tmp_path: Path) -> None:
    workspace(tmp_path, '[tool.uv.workspace]\nmembers = ["p/*"]\nexclude = ["p/acme-x"]\n')
    with pytest.raises(PluginProjectError, match="excludes"):
        new_project("acme.x", kind="step", into=tmp_path / "p")


def test_a_list_that_cannot_be_edited_is_told_and_the_project_is_there(tmp_path: Path) -> None:
    workspace(tmp_path, "[tool.uv]\nworkspace.members = []\n")
    with pytest.raises(PluginProjectError, match="no member of the workspace yet") as refused:
        new_project("acme.x", kind="step", into=tmp_path)
    assert '"acme-x"' in (refused.value.fix or "")
    assert (tmp_path / "acme-x/pyproject.toml").is_file()


@pytest.mark.parametrize("member", ["../x", "/etc", "**", "a/../b", ""])
def test_a_member_outside_the_folder_is_refused(tmp_path: Path, member: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.uv.workspace]\nmembers = ["{member}"]\n')
    with pytest.raises(PluginManifestError, match="below the file"):
        Workspace.at(tmp_path)


def test_members_that_are_no_list_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = "plugins"\n')
    with pytest.raises(PluginManifestError, match="list of folders"):
        Workspace.at(tmp_path)


def test_a_project_without_a_workspace_above_is_alone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n")
    assert Workspace.at(tmp_path) is None
    assert Workspace.around(tmp_path / "x") is None


def test_a_member_says_which_others_it_uses(tmp_path: Path) -> None:
    found = workspace(tmp_path, '[tool.uv.workspace]\nmembers = ["*"]\n')
    folder = new_project("acme.x", kind="step", into=tmp_path)
    with (folder / "pyproject.toml").open("a") as file:
        file.write("\n[tool.uv.sources]\nAcme_Shared = {workspace = true}\nother = {git = 'x'}\n")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/pyproject.toml").write_text(
        '[project]\nname = "acme-shared"\nversion = "2.0"\n'
    )
    shared, plugin = found.projects()
    assert (shared.name, shared.manifest, shared.siblings) == ("acme-shared", None, ())
    assert plugin.siblings == ("acme-shared",)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    found = workspace(tmp_path, '[tool.uv.workspace]\nmembers = ["*"]\n')
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text('[project]\nname="x"\nversion="1"\n')
    with pytest.raises(PluginProjectError, match="two members"):
        found.projects()
