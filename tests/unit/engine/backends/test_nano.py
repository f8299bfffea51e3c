"""The model in the package when it is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import openautoglm
from openautoglm import AutoGLM
from openautoglm.errors import InvalidParameterError

SCRIPT = """
import sys
from openautoglm import AutoGLM, OpenAutoGLMError
try:
    AutoGLM()
except OpenAutoGLMError as error:
    print(error)
print("torch" in sys.modules)
"""


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_package_without_its_weights_says_so_before_torch_is_imported(
    left: str, tmp_path: Path
) -> None:
    source = Path(openautoglm.__file__).parent
    package = shutil.copytree(
        source, tmp_path / "openautoglm", ignore=shutil.ignore_patterns("weights", "__pycache__")
    )
    if left == "an empty folder":
        (package / "engine" / "weights" / "nano").mkdir(parents=True)
    env = {name: value for name, value in os.environ.items() if name != "OPENAUTOGLM_MODEL"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", SCRIPT],  # -S: the hook of an editable install stays out
        env=env | {"PYTHONPATH": os.pathsep.join([str(tmp_path), sysconfig.get_path("purelib")])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "[OAG301] this installation has no nano model: its weights are missing from the package",
        f"  got: {package / 'engine' / 'weights' / 'nano'}",
        "  fix: install the wheel again, or name a model of your own",
        "False",
    ]


def test_nano_is_no_backend_for_another_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="`nano` has its own model") as caught:
        AutoGLM(tmp_path, backend="nano")
    assert caught.value.fix == "leave model_path out, or leave backend out"


@pytest.mark.parametrize(("name", "value"), [("mode", "int8"), ("processes", 2)])
def test_options_of_native_are_refused_where_it_cannot_run_nano(name: str, value: object) -> None:
    with pytest.raises(InvalidParameterError, match="it has no dtype float16") as caught:
        AutoGLM(backend="nano", dtype="float16", **{name: value})  # type: ignore[arg-type] # a table of names
    assert caught.value.fix == f"leave {name} out"
