"""A wheel holds the package and its manifest, byte for byte the same each time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import (
    OpenAutoGLMError,
    PluginManifestError,
    PluginPeerError,
    PluginProjectError,
)
from openautoglm.plugins.manifest import FILE_NAME, Manifest
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.wheel import read_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

ASK = """
from importlib.metadata import entry_points
print([(p.name, p.value, p.dist.version) for p in entry_points(group="openautoglm.plugins")])
"""
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_project("acme.upper", kind="step", into=tmp_path)


def edit(project: Path, before: str, after: str) -> None:
    path = project / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_a_wheel_holds_the_package_and_the_manifest(project: Path) -> None:
    packed = pack(project)
    assert packed.path == project / "dist/acme_upper-0.1.0-py3-none-any.whl"
    wheel = read_wheel(packed.path)
    assert wheel.manifest == packed.manifest == Manifest.from_project(project)
    assert wheel.sha256 == packed.sha256
    assert sorted(wheel.files) == [
        "acme_upper-0.1.0.dist-info/METADATA",
        "acme_upper-0.1.0.dist-info/RECORD",
        "acme_upper-0.1.0.dist-info/WHEEL",
        "acme_upper-0.1.0.dist-info/entry_points.txt",
        "acme_upper/__init__.py",
        f"acme_upper/{FILE_NAME}",
        "acme_upper/openautoglm-requests.jsonl",
        "acme_upper/py.typed",
        "acme_upper/step.py",
    ]


def test_the_same_project_gives_the_same_bytes_wherever_and_whenever(
    project: Path, tmp_path: Path
) -> None:
    first = pack(project).path.read_bytes()
    other = tmp_path / "other place"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("dist"))
    for file in other.rglob("*"):
        os.utime(file, (1, 1))
        if file.is_file():
            file.chmod(0o700)
    (other / "src/acme_upper/__pycache__").mkdir()
    (other / "src/acme_upper/__pycache__/step.pyc").write_bytes(b"x")
    (other / "src/acme_upper/.hidden").write_bytes(b"x")
    assert pack(other).path.read_bytes() == first


def test_pip_installs_it_and_finds_its_entry_point(project: Path, tmp_path: Path) -> None:
    wheel = pack(project).path
    target = tmp_path / "site"
    options = ["-q", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, wheel], check=True, capture_output=True
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", ASK],
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[('acme.upper', 'acme_upper', '0.1.0')]"


@needs_compiler
def test_kernels_go_in_as_a_library_or_stay_sources(tmp_path: Path) -> None:
    project = new_project("acme.twice", kind="operator-cpp", into=tmp_path)
    built, kept = pack(project), pack(project, sources=True, out=tmp_path / "out")
    assert "acme_twice/kernels/kernels.so" in read_wheel(built.path).files
    assert "acme_twice/kernels/cpu.cc" not in read_wheel(built.path).files
    assert built.manifest.provides[0].sources == "kernels/kernels.so"
    assert not built.path.name.endswith("py3-none-any.whl")
    assert "acme_twice/kernels/cpu.cc" in read_wheel(kept.path).files
    assert kept.path.name == "acme_twice-0.1.0-py3-none-any.whl"
    assert pack(project).path.read_bytes() == built.path.read_bytes()


def test_metadata_says_what_pip_asks(project: Path) -> None:
    edit(project, "dependencies = [] #", 'dependencies = ["acme-base>=3"] #')
    edit(project, 'description = "A step', 'description = "A 步 step')
    edit(project, 'license = "Apache-2.0"', 'license = "MIT"')
    with zipfile.ZipFile(pack(project).path) as archive:
        text = archive.read("acme_upper-0.1.0.dist-info/METADATA").decode()
    head, _, body = text.partition("\n\n")
    assert "Requires-Dist: acme-base>=3" in head.splitlines()
    assert "License-Expression: MIT" in head.splitlines()
    assert "Summary: A 步 step of a pipeline" in head.splitlines()
    assert body.startswith("# acme-upper")


def with_text(before: str, after: str) -> Callable[[Path], None]:
    return lambda project: edit(project, before, after)


def with_file(name: str, data: bytes = b"x") -> Callable[[Path], None]:
    def change(project: Path) -> None:
        path = project / "src/acme_upper" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return change


def with_link(name: str, target: str) -> Callable[[Path], None]:
    return lambda project: (project / "src/acme_upper" / name).symlink_to(target)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (with_text('point = "step"', 'point = "stepp"'), PluginManifestError, "extension point"),
        (with_text("contract = 1", "contract = 99"), PluginPeerError, "another contract"),
        (with_text("schema = 1", 'schema = 1\nisolation = "L3"'), None, ""),
        (with_text('host-api = ">=1.0,<2"', 'host-api = ">=7"'), PluginPeerError, "host API"),
        (with_text("peers = {}", 'peers = {numpy = "<1"}'), PluginPeerError, "another `numpy`"),
        (with_text("dependencies = []", 'dependencies = ["numpy"]'), PluginPeerError, "a peer"),
        (with_text("dependencies = []", 'scripts = {x = "y:z"}'), PluginProjectError, "scripts"),
        (with_text(".step:Upper", ".other:Upper"), PluginProjectError, "not in the package"),
        (
            with_text('object = "acme_upper.step:Upper"', 'sources = "none"'),
            PluginProjectError,
            "made of",
        ),
        (with_text("README.md", "../README.md"), PluginProjectError, "readme"),
        (with_text("README.md", "/etc/passwd"), PluginProjectError, "readme"),
        (with_text("README.md", "NONE.md"), PluginProjectError, "cannot be read"),
        (with_file("_vendor/numpy/__init__.py"), PluginPeerError, "its own copy"),
        (with_link("secret.py", "/etc/passwd"), PluginProjectError, "plain files"),
        (with_link("folder", "/etc"), PluginProjectError, "plain files"),
        (with_file("a:b.py"), PluginProjectError, "not every system"),
        (with_file("a\nb.py"), PluginProjectError, "not every system"),
        (with_file('a"b.py'), PluginProjectError, "not every system"),
        (with_file("a,b.py"), None, ""),
        (with_file("数据.txt"), None, ""),
    ],
)
def test_a_project_that_is_wrong_is_refused_or_packed_right(
    project: Path, change: Callable[[Path], None], error: type[OpenAutoGLMError] | None, told: str
) -> None:
    change(project)
    if error is None:
        read_wheel(pack(project).path)
        return
    with pytest.raises(error) as refused:
        pack(project)
    assert told in str(refused.value)
    assert refused.value.fix
    assert not (project / "dist").exists()


def test_a_project_without_its_package_is_refused(project: Path) -> None:
    shutil.rmtree(project / "src")
    with pytest.raises(PluginProjectError, match="`acme_upper` is not in the project"):
        pack(project)


def test_a_folder_that_cannot_be_written_is_told(project: Path) -> None:
    (project / "dist").write_text("a file")
    with pytest.raises(PluginProjectError, match="cannot be written"):
        pack(project)
    full = Path("/dev/full")
    if full.exists():
        with pytest.raises(PluginProjectError):
            pack(project, out=full)


def test_a_dependency_in_the_workspace_is_asked_for_in_its_version(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["*"]\n')
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/pyproject.toml").write_text(
        '[project]\nname = "acme-shared"\nversion="2.1"\n'
    )
    project = new_project("acme.upper", kind="step", into=tmp_path)
    edit(project, "dependencies = [] #", 'dependencies = ["acme_shared", "acme-base"] #')
    with (project / "pyproject.toml").open("a") as file:
        file.write("\n[tool.uv.sources]\nacme-shared = {workspace = true}\n")
    assert pack(project).manifest.dependencies == ("acme-shared==2.1", "acme-base")
    shutil.rmtree(tmp_path / "shared")
    with pytest.raises(PluginProjectError, match="no member of the workspace"):
        pack(project)


@pytest.mark.parametrize(
    ("text", "told"), [("x = (\n", ", line 1: "), ("x = '\0'\n", "null bytes")]
)
def test_a_module_that_is_no_python_is_named_with_its_line(
    project: Path, text: str, told: str
) -> None:
    (project / "src/acme_upper/more.py").write_text(text)
    with pytest.raises(PluginProjectError, match="is no Python") as refused:
        pack(project)
    assert str(refused.value.got).startswith("acme_upper/more.py")
    assert told in str(refused.value.got)
    assert not (project / "dist").exists()
