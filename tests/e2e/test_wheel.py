"""What is installed is the wheel, not the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from openautoglm.native.cache import turn

pytestmark = pytest.mark.timeout(900)  # the first one builds

ROOT = Path(__file__).parents[2]
PACKAGES = sysconfig.get_path("purelib")
MAX_WHEEL_BYTES = 20 * 2**20
MAX_MODEL_BYTES = 16 * 10**6


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once for all workers: two builds would share one build folder."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the one that workers have in common
    folder /= "wheel"
    with turn(folder.with_suffix(".lock")):
        if not folder.is_dir():
            build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
            subprocess.run(
                [*build, "--no-build-isolation", "-w", str(folder), "."],
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_the_model_the_tasks_and_the_types_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    assert "openautoglm/py.typed" in sizes
    assert "openautoglm/pipeline/tasks/extract.yaml" in sizes
    assert "openautoglm/engine/weights/nano/model.safetensors" in sizes
    assert "openautoglm/engine/weights/nano/MODEL_CARD.md" in sizes
    assert "openautoglm/bus/direct.abi3.so" in sizes
    assert "openautoglm/native/lib/liboag_core.so" in sizes
    assert "openautoglm/native/lib/liboag_kernels.so" in sizes
    assert "openautoglm/native/lib/liboag_faults.so" in sizes
    assert "openautoglm/native/include/openautoglm/op.h" in sizes
    assert not [name for name in sizes if name.startswith(("tests/", "models/", "native/"))]
    model = sum(size for name, size in sizes.items() if "/weights/nano/" in name)
    assert model <= MAX_MODEL_BYTES
    assert wheel.stat().st_size <= MAX_WHEEL_BYTES


def test_the_libraries_in_the_wheel_keep_the_names_of_what_they_hold(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if name.endswith(".so")]
        archive.extractall(tmp_path, found)
    for name in found:
        with (tmp_path / name).open("rb") as file:
            assert ELFFile(file).get_section_by_name(".symtab") is not None


def test_the_program_of_the_first_page_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = tmp_path / "program.py"
    program.write_text(
        "import openautoglm\n"
        "from openautoglm import AutoGLM, PromptTemplate\n"
        "assert 'site' in openautoglm.__file__, openautoglm.__file__\n"
        "template = PromptTemplate(\n"
        "    template='请根据以下内容生成摘要:{content}', input_variables=['content'])\n"
        "with AutoGLM() as engine:\n"
        "    print(engine.run(template.format(content='人工智能正在快速发展...')))\n"
        "import numpy\n"
        "from openautoglm import ops\n"
        "ones = numpy.ones(3, numpy.float32)\n"
        "assert ops.get('add')(ones, ones).tolist() == [2.0, 2.0, 2.0]\n"
        "assert ops.get('add').explain(ones, ones).winner.startswith('native')\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-S", str(program)],  # -S: the hook of an editable install stays out
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), PACKAGES])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "人工智能" in done.stdout
