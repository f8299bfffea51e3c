"""The package's own code in CPython on Emscripten (Pyodide), under Node, without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import openautoglm

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
SOURCE = Path(openautoglm.__file__).parents[1]
INSTALL = "cd tests/e2e/wasm && npm ci"


@pytest.fixture(scope="module")
def host_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def results(host_folder: Path) -> Mapping[str, str]:
    node = shutil.which("node")
    assert node, "Node 20 or newer is needed to run Python on Emscripten"
    assert (HERE / "node_modules" / "pyodide").is_dir(), f"install Pyodide first: {INSTALL}"
    done = subprocess.run(
        [node, str(HERE / "pyodide.mjs"), str(SOURCE), str(HERE), str(host_folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parsed: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return parsed


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["/tmp", "/host"])  # noqa: S108 - Emscripten's own MEMFS
def test_every_check_passes_on_emscripten(results: Mapping[str, str], folder: str) -> None:
    here = {name: result for name, result in results.items() if name.endswith(f" in {folder}")}
    failed = [f"{name}\n{result}" for name, result in here.items() if result != "passed"]
    assert not failed, "\n".join(failed)
    assert len(here) == 8


@pytest.mark.slow
def test_a_file_written_on_emscripten_is_on_the_host(
    results: Mapping[str, str], host_folder: Path
) -> None:
    assert results
    assert (host_folder / "from-inside.txt").read_bytes() == b"written on emscripten"
    assert not list(host_folder.glob(".oag-*"))
