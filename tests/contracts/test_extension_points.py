"""spec/extension-points.json says what the protocols are; a breaking change needs a new number."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.plugins.protocols import describe_points, refused

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "spec/extension-points.json"


def test_the_spec_is_what_the_protocols_are() -> None:
    frozen = json.loads(SPEC.read_text(encoding="utf-8"))
    assert frozen == describe_points(), (
        "run `python -m openautoglm.plugins.protocols spec/extension-points.json`"
    )


def drop_method(point: Any) -> None:  # noqa: ANN401 - JSON
    point["methods"].pop()


def add_method(point: Any) -> None:  # noqa: ANN401 - JSON
    point["methods"].append({"name": "flush", "optional": False, "parameters": []})


def add_parameter(point: Any) -> None:  # noqa: ANN401 - JSON
    parameter = {"name": "mode", "kind": "keyword-only", "required": False}
    point["methods"][-1]["parameters"].append(parameter)


def drop_field(point: Any) -> None:  # noqa: ANN401 - JSON
    point["values"]["Receipt"].pop()


def demand_field(point: Any) -> None:  # noqa: ANN401 - JSON
    point["values"]["Receipt"].append({"name": "owner", "required": True})


def change_wire(point: Any) -> None:  # noqa: ANN401 - JSON
    point["wire"]["write"]["stream"] = True


@pytest.mark.parametrize(
    "change", [drop_method, add_method, add_parameter, drop_field, demand_field, change_wire]
)
def test_a_breaking_change_is_refused_until_the_contract_number_is_raised(
    change: Callable[[object], None],
) -> None:
    old = describe_points()
    new = copy.deepcopy(old)
    change(new["sink"])
    assert [said.partition(":")[0] for said in refused(old, new)] == ["sink"]
    new["sink"]["contract"] += 1
    assert refused(old, new) == []


def test_what_is_added_with_a_default_breaks_nobody() -> None:
    old = describe_points()
    new: Any = copy.deepcopy(old)
    new["sink"]["values"]["Receipt"].append({"name": "owner", "required": False})
    new["sink"]["methods"].append({"name": "flush", "optional": True, "parameters": []})
    new["sink"]["levels"].append("L3")
    new["planner"] = new["sink"]
    assert refused(old, new) == []
    assert refused(new, old) != []


def test_the_script_writes_nothing_where_it_refuses(tmp_path: Path) -> None:
    file = tmp_path / "points.json"
    changed: Any = describe_points()
    add_method(changed["step"])
    changed["step"]["methods"][-1]["name"] = "gone"
    file.write_text(json.dumps(changed), encoding="utf-8")
    before = file.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "openautoglm.plugins.protocols", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "step: method `gone` is gone: raise `contract`" in done.stderr
    assert file.read_text(encoding="utf-8") == before
