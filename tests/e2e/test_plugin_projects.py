"""From `oag plugin new` to a plugin in use, as its author types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.plugins.project import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

OAG = Path(sys.executable).parent / "oag"
NEEDS_COMPILER = {"operator-cpp", "operator-cuda"}


@pytest.fixture
def oag(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `oag plugin` in a folder and a home of its own; it must end with `exits`."""

    def run(
        *arguments: str | Path, exits: int = 0, group: str = "plugin", path: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        own = {"OPENAUTOGLM_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
        own |= {} if path is None else {"PATH": path}
        done = subprocess.run(
            [OAG, group, *arguments],
            cwd=tmp_path,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == exits, done.stdout + done.stderr
        return done

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_project_passes_its_tests_and_check_and_comes_and_goes(
    oag: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, kind: str
) -> None:
    if kind in NEEDS_COMPILER and shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler here")
    oag("new", "acme.try-it", "--kind", kind)
    told = oag("dev", "acme-try-it", "--once").stdout
    assert "loaded    generation 1" in told
    assert " passed" in told
    checked = oag("check", "acme-try-it", "--quick").stdout
    assert ", 0 fail, 0 warn, " in checked
    asked = {line.split()[0]: line.split()[1] for line in checked.splitlines()[:-2]}
    assert asked["trial.requests"] == asked["trial.latency"] == "pass", checked
    packed = json.loads(oag("pack", "acme-try-it", "--json").stdout)
    oag("install", packed["path"])
    shutil.rmtree(tmp_path / "acme-try-it")
    (listed,) = json.loads(oag("list", "--json").stdout)
    assert (listed["id"], listed["version"], listed["enabled"]) == ("acme.try-it", "0.1.0", True)
    assert listed["sha256"] == packed["sha256"]
    assert oag("doctor").stdout == "all plugins go together\n"
    oag("disable", "acme.try-it")
    assert "disabled" in oag("list").stdout
    oag("remove", "acme.try-it")
    assert json.loads(oag("list", "--json").stdout) == []


def test_what_comes_next_is_told_and_is_true(
    oag: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    told = oag("new", "acme.try-it", "--kind", "step").stdout.splitlines()
    commands = [line.removeprefix("next").split() for line in told[1:]]
    assert [words[2] for words in commands] == ["dev", "check", "pack", "install"]
    for words in commands[2:]:
        files = sorted(map(str, tmp_path.glob(words[-1])))
        oag(*words[2:-1], *files)
    assert "acme.try-it" in oag("list").stdout
    assert "sign" in oag("new", "acme.fast", "--kind", "operator-cpp").stdout


def test_what_is_installed_is_used_and_a_command_ends_without_a_word(
    oag: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    oag("new", "acme.try-it", "--kind", "step")
    oag("install", json.loads(oag("pack", "acme-try-it", "--json").stdout)["path"])
    (tmp_path / "loud.yaml").write_text(
        "name: loud\ninputs: {text: {to: it.text}}\n"
        "components: {it: {type: acme.try-it}}\noutputs: {result: it.text}\n"
    )
    done = oag("loud.yaml", "--text", "hello", group="run")
    assert json.loads(done.stdout)["outputs"] == {"result": "HELLO"}
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")
def test_what_this_machine_cannot_compile_is_told(
    oag: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    oag("new", "acme.fast", "--kind", "operator-cuda")
    refused = oag("pack", "acme-fast", exits=2, path=str(tools)).stderr
    assert "[OAG206]" in refused
    assert "install GCC" in refused
    for name in ("g++", "as", "ld"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for command in (["dev", "--once", "--no-test"], ["check", "--quick"], ["pack"]):
        told = oag(*command, "acme-fast", path=str(tools)).stdout
        assert "cuda.cu" in told
        assert "nvcc is not on PATH" in told
    (wheel,) = (tmp_path / "acme-fast/dist").glob("*.whl")
    assert "no trusted key signed it" in oag("install", wheel).stdout
    assert "cannot run" in oag("list").stdout


def test_doctor_and_pipeline_list_name_what_plugins_bring_and_import_nothing(
    oag: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    oag("new", "acme.try-it", "--kind", "step")
    with (tmp_path / "acme-try-it/src/acme_try_it/step.py").open("a") as file:
        file.write("raise SystemExit('somebody imported it')\n")
    oag("install", json.loads(oag("pack", "acme-try-it", "--json").stdout)["path"])
    line = "plugin acme.try-it 0.1.0, L2"
    assert f"acme.try-it  step of {line}" in oag("list", group="pipeline").stdout
    assert f"plugin       step acme.try-it: {line}" in oag(group="doctor").stdout
    (found,) = json.loads(oag("--json", group="doctor").stdout)["plugins"]
    assert (found["plugin"], found["isolation"], found["enabled"]) == ("acme.try-it", "L2", True)
    oag("disable", "acme.try-it")
    assert "plugin acme.try-it 0.1.0, disabled" in oag("list", group="pipeline").stdout


def test_a_workspace_is_checked_as_a_whole_and_developed_one_by_one(
    oag: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["plugins/*"]\n')
    assert "no members" in oag("workspace").stdout
    assert "no plugin yet" in oag("check", exits=2).stderr
    for name in ("acme.one", "acme.two"):
        oag("new", name, "--kind", "step", "--in", "plugins")
    assert oag("check", "--quick").stdout.count(", 0 fail, 0 warn, ") == 2
    assert "plugins/acme-one, plugins/acme-two" in oag("dev", "--once", exits=2).stderr


def test_a_workspace_packs_plugins_and_the_library_they_share(
    oag: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["plugins/*"]\n')
    for name in ("acme.one", "acme.two"):
        oag("new", name, "--kind", "step", "--in", "plugins")
        share(tmp_path / "plugins" / name.replace(".", "-"))
    library = tmp_path / "plugins/acme-shared"
    (library / "src/acme_shared").mkdir(parents=True)
    (library / "pyproject.toml").write_text('[project]\nname = "acme-shared"\nversion = "1.2"\n')
    (library / "src/acme_shared/__init__.py").write_text("def shout(text): return text.upper()\n")
    told = oag("workspace").stdout
    assert "acme-shared 1.2  (library)" in told
    assert "(acme-one *, acme-two *)" in told
    assert " passed" in oag("dev", "plugins/acme-one", "--once").stdout
    assert len(oag("pack").stdout.splitlines()) == 3
    for wheel in sorted((tmp_path / "dist").glob("acme_[ot]*.whl")):
        oag("install", wheel, "--offline")
    found = json.loads(oag("show", "acme.one", "--json").stdout)
    assert found["manifest"]["dependencies"] == ["acme-shared==1.2"]
    assert found["dependencies"] == {"acme-shared": "1.2"}
    oag("doctor")


def share(folder: Path) -> None:
    """Make a step use the library of the workspace, and NumPy of the host."""
    project = folder / "pyproject.toml"
    text = project.read_text().replace("dependencies = []", 'dependencies = ["acme-shared"]')
    text = text.replace("peers = {}", 'peers = {numpy = "*"}')
    project.write_text(text + "\n[tool.uv.sources]\nacme-shared = {workspace = true}\n")
    (step,) = folder.glob("src/*/step.py")
    text = step.read_text().replace("text.upper()", "shout(text)")
    step.write_text(
        text.replace("from openautoglm", "from acme_shared import shout\nfrom openautoglm")
    )


@pytest.mark.parametrize(
    ("arguments", "exits", "told"),
    [
        (["new", "../x", "--kind", "step"], 2, "OAG723"),
        (["new", "Acme Upper", "--kind", "step"], 2, "as in acme-upper"),
        (["new", "a" * 61, "--kind", "step"], 2, "at most 60 characters, and this has 61"),
        (["new", "numpy", "--kind", "step"], 2, "numpy, which numpy brings"),
        (["new", "text.clean", "--kind", "step"], 2, "as in acme.text.clean"),
        (["new", "acme.x", "--kind", "step", "--license", "gpl"], 2, "LicenseRef-Proprietary"),
        (["new", "acme.x", "--kind", "opera"], 2, "operator-cuda"),
        (["new", "acme.x", "--kind", "stepp"], 2, "did you mean `step`?"),
        (["check", "nowhere"], 2, "OAG724"),
        (["check", ".", "--json", "none/report.json"], 3, "its folder is not there"),
        (["new", "acme.x"], 2, "--kind"),
        (["pack", "nowhere"], 2, "OAG721"),
        (["install", "none.whl"], 2, "OAG724"),
        (["show", "acme.none"], 2, "OAG725"),
        (["enable", "acme.none"], 2, "OAG725"),
        (["remove", "acme.none"], 2, "OAG725"),
        (["rollback", "acme.none"], 2, "OAG725"),
        (["workspace"], 2, "OAG723"),
        (["dev", "nowhere", "--once"], 2, "OAG721"),
    ],
)
def test_what_cannot_be_done_is_told_in_our_words(
    oag: Callable[..., subprocess.CompletedProcess[str]],
    arguments: list[str],
    exits: int,
    told: str,
) -> None:
    done = oag(*arguments, exits=exits)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_conflict_makes_doctor_end_with_1(
    oag: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    oag("new", "acme.x", "--kind", "step")
    project = tmp_path / "acme-x/pyproject.toml"
    project.write_text(project.read_text().replace('name = "acme.x"', 'name = "text.clean"'))
    (wheel,) = [json.loads(oag("pack", "acme-x", "--json").stdout)["path"]]
    oag("install", wheel)
    (found,) = json.loads(oag("doctor", "--json", exits=1).stdout)
    assert found["sides"] == ["acme.x", "openautoglm"]
    assert found["problem"] == "the host has a step `text.clean` of its own"


def test_a_home_that_cannot_be_written_ends_with_3(tmp_path: Path) -> None:
    done = subprocess.run(
        [OAG, "plugin", "disable", "acme.x"],
        env={**os.environ, "OPENAUTOGLM_HOME": "/proc/none"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "OAG727" in done.stderr
