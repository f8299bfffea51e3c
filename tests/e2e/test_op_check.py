"""`oag op check`: a table, a file, an exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BROKEN: Final = ROOT / "plugins" / "broken-ops" / "wrong-shape"


def oag(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openautoglm", "op", "check", *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True)


def test_an_operator_that_keeps_its_contract_ends_well(tmp_path: Path) -> None:
    file = tmp_path / "report.json"

    done = oag("add", "--quick", "--no-grad", "--kernels", "reference", "--json", str(file))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "add: " in done.stdout
    assert json.loads(file.read_text(encoding="utf-8"))["ok"] is True


def test_a_broken_operator_ends_with_exit_code_1_and_the_input() -> None:
    done = oag(str(BROKEN), "--quick")

    assert done.returncode == 1
    assert "wrong_shape(x=f32[0])" in done.stdout


def test_what_is_nothing_is_said_in_one_message() -> None:
    done = oag("no_such_operator")

    assert done.returncode != 0
    assert "is no operator, and no file or folder" in done.stderr
    assert "Traceback" not in done.stderr
