"""`oag plugin check`: a table, a file, an exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.project import new_project
from openautoglm.plugins.project.kinds import KINDS
from openautoglm.plugins.report import PluginReport
from openautoglm.plugins.trial.nursery import Nursery
from openautoglm.plugins.validation import validate_plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]

needs_sandbox = pytest.mark.skipif(
    not supported().sandbox, reason="; ".join(supported().reasons) or "-"
)


def oag(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openautoglm", "plugin", *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True)


@needs_sandbox
def test_a_wheel_is_checked_like_its_project(tmp_path: Path) -> None:
    made = oag("new", "acme.upper", "--kind", "step", "--in", str(tmp_path))
    packed = oag("pack", str(tmp_path / "acme-upper"), "--out", str(tmp_path))
    assert (made.returncode, packed.returncode) == (0, 0), made.stderr + packed.stderr
    (wheel,) = tmp_path.glob("*.whl")
    file = tmp_path / "report.json"

    done = oag("check", str(wheel), "--quick", "--json", str(file))

    assert done.returncode == 0, done.stdout + done.stderr
    report = PluginReport.from_json(file.read_text(encoding="utf-8"))
    assert report.ok
    assert report.plugin == "acme.upper"
    assert report.digest in done.stdout
    asked = {finding.row for finding in report.findings}
    assert {"static.protocol", "trial.sandbox", "trial.calls", "step.outputs"} <= asked


@needs_sandbox
def test_a_broken_plugin_ends_with_exit_code_1_and_a_fix(tmp_path: Path) -> None:
    requests = tmp_path / "requests.jsonl"
    answer = {"contribution": "broken.no-licence", "kwargs": {"text": "a"}, "expected": {"text": 1}}
    requests.write_text(json.dumps(answer), encoding="utf-8")
    broken = ROOT / "plugins" / "broken" / "no-licence"

    done = oag("check", str(broken), "--quick", "--requests", str(requests))

    assert done.returncode == 1, done.stdout + done.stderr
    assert "{'text': 'A'} instead of {'text': 1}" in done.stdout
    assert "fix: correct it, or record the new answer" in done.stdout


def test_what_is_nothing_is_said_in_one_message() -> None:
    done = oag("check", "no-such-plugin")

    assert done.returncode == 2
    assert "there is no plugin to check" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as warm:
        yield warm


@needs_sandbox
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_new_project_passes_as_it_is(
    kind: str, nursery: Nursery, tmp_path: Path
) -> None:
    if "cpp" in kind or "cuda" in kind:
        pytest.importorskip("tvm_ffi", reason="kernels need the extra `ops`")
    folder = new_project(f"acme.{kind}", kind=kind, into=tmp_path)

    report = validate_plugin(folder, profile="quick", nursery=nursery)

    assert report.ok, str(report)
