"""pip installs a plugin's project through our own build backend, without a network."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from openautoglm.plugins.inventory import environment
from openautoglm.plugins.packing import hooks
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = new_project("acme.upper", kind="step", into=tmp_path)
    monkeypatch.chdir(folder)
    return folder


def pip(*arguments: str | Path) -> None:
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command, *rest = arguments
    subprocess.run(
        [sys.executable, "-m", "pip", command, *options, *rest], check=True, capture_output=True
    )


def test_pip_builds_the_wheel_that_pack_writes(project: Path, tmp_path: Path) -> None:
    pip("wheel", "--wheel-dir", tmp_path / "out", project)
    (built,) = (tmp_path / "out").iterdir()
    assert built.name == "acme_upper-0.1.0-py3-none-any.whl"
    assert built.read_bytes() == pack(project).path.read_bytes()


def test_an_editable_install_is_found_with_its_manifest(project: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    name = hooks.build_editable(str(tmp_path))
    pip("install", "--target", site, tmp_path / name)
    (found,) = environment.find([str(site)])
    assert found.error is None
    assert found.manifest is not None
    assert found.manifest.id == "acme.upper"
    assert (site / "_acme_upper.pth").read_text().strip() == str(project / "src")


def test_the_archive_of_sources_holds_what_builds_the_wheel(project: Path, tmp_path: Path) -> None:
    name = hooks.build_sdist(str(tmp_path / "out"))
    assert name == hooks.build_sdist(str(tmp_path / "again"))
    first, again = (tmp_path / "out" / name), (tmp_path / "again" / name)
    assert first.read_bytes() == again.read_bytes()
    with tarfile.open(first) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    assert pack(tmp_path / "unpacked/acme_upper-0.1.0").sha256 == pack(project).sha256
