"""The package's own code in CPython on WASI, under wasmtime, without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime
from wasmtime import component

import openautoglm

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
SOURCE = Path(openautoglm.__file__).parents[1]


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Freeze CPython, the package's source and the checks into one WASI component."""
    folder = tmp_path_factory.mktemp("guest")
    for name in ("guest.py", "checks.py"):
        shutil.copy(HERE / name, folder)
    tool = Path(sysconfig.get_path("scripts")) / "componentize-py"
    command = [str(tool), "-d", str(HERE / "check.wit"), "-w", "check", "componentize"]
    command += ["-p", str(folder), "-p", str(SOURCE), "guest", "-o", str(folder / "guest.wasm")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "guest.wasm"


@pytest.fixture(scope="module")
def host_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def results(guest: Path, host_folder: Path) -> Mapping[str, str]:
    config = wasmtime.Config()
    config.cranelift_opt_level = "none"  # compiled once, run once
    engine = wasmtime.Engine(config)
    linker = component.Linker(engine)
    linker.add_wasip2()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.env = [("OAG_WASM", "值 🎈")]
    wasi.preopen_dir(str(host_folder), "/host")
    store.set_wasi(wasi)
    instance = linker.instantiate(store, component.Component.from_file(engine, str(guest)))
    report = instance.get_func(store, "report")
    assert report is not None
    parsed: dict[str, str] = json.loads(report(store, "/host"))
    return parsed


@pytest.mark.slow
def test_every_check_passes_on_wasi(results: Mapping[str, str]) -> None:
    failed = [f"{name}\n{result}" for name, result in results.items() if result != "passed"]
    assert not failed, "\n".join(failed)
    assert len(results) == 8


@pytest.mark.slow
def test_a_file_written_on_wasi_is_on_the_host(
    results: Mapping[str, str], host_folder: Path
) -> None:
    assert results
    assert (host_folder / "from-inside.txt").read_bytes() == b"written on wasi"
    assert not list(host_folder.glob(".oag-*"))
