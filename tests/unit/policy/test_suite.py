"""Rules held to their tests, through `oag policy`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

from openautoglm.cli.policy import policy
from openautoglm.errors import InputDecodeError, PolicyError
from openautoglm.policy import DEFAULT_RULES, Limits
from openautoglm.policy.admission import HostFacts, admission_input
from openautoglm.policy.suite import run_suite

if TYPE_CHECKING:
    from pathlib import Path

RULES = """package door
import rego.v1
default allow := false
allow if input.key in data.keys
opens(key) if key == "brass"
"""
TESTS = """package door_test
import rego.v1
import data.door
test_brass_opens if door.opens("brass")
test_tin_opens if door.opens("tin")
test_number := 1
"""


def run(*args: str) -> int:
    command = get_command(policy)
    with command.make_context("policy", list(args)) as context:
        try:
            command.invoke(context)
        except SystemExit as end:  # pragma: no cover - typer raises its own
            return int(end.code or 0)
        except Exception as end:
            code = getattr(end, "exit_code", None)
            if code is None:
                raise
            return int(code)
    return 0


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "door.rego").write_text(RULES, encoding="utf-8")
    (tmp_path / "data.json").write_text('{"keys": ["brass"]}', encoding="utf-8")
    return tmp_path


def cases(folder: Path, **more: object) -> None:
    said = {"entrypoint": "door", **more}
    (folder / "door_cases.json").write_text(json.dumps(said), encoding="utf-8")


def test_the_shipped_rules_pass_their_tests() -> None:
    rows = run_suite(DEFAULT_RULES)
    assert [row for row in rows if row.problem] == []
    assert len(rows) > 40


def test_rego_tests_pass_or_say_what_they_came_to(rules: Path) -> None:
    (rules / "door_test.rego").write_text(TESTS, encoding="utf-8")
    assert {row.name: row.problem for row in run_suite(rules)} == {
        "test_brass_opens": None,
        "test_tin_opens": "it is undefined",
        "test_number": "it is 1",
    }


def test_a_rego_test_that_does_not_end_is_a_failed_test_and_the_next_one_runs(rules: Path) -> None:
    text = """package door_test
import rego.v1
n := numbers.range(1, 3000)
test_ends if { some a in n; some b in n; some c in n; a + b + c < 0 }
test_right if data.door.opens("brass")
"""
    (rules / "door_test.rego").write_text(text, encoding="utf-8")
    rows = {row.name: row.problem for row in run_suite(rules, limits=Limits(timeout_s=2.0))}
    assert "in time" in str(rows["test_ends"])
    assert rows["test_right"] is None


def test_cases_pass_or_say_what_was_decided(rules: Path) -> None:
    cases(
        rules,
        base={"key": "brass", "hand": {"left": 1}},
        cases=[
            {"name": "brass", "expected": {"allow": True}},
            {"name": "tin", "input": {"key": "tin"}, "expected": {"allow": True}},
            {"name": "none", "input": {"key": None}, "expected": {"allow": False}},
            {
                "name": "another reason",
                "input": {"key": None},
                "expected": {"allow": False, "reasons": ["rain"]},
            },
            {"name": "no json", "input": {"key": 2**70}, "expected": {"allow": False}},
        ],
    )
    problems = {row.name: row.problem for row in run_suite(rules)}
    assert problems["brass"] is None
    assert problems["tin"] == "allow is false: no rule allows it"
    assert problems["none"] is None
    assert problems["another reason"] == 'reasons are ["no rule allows it"]'
    assert problems["no json"] is not None


def test_the_data_of_a_file_of_cases_is_laid_over_the_rules_own(rules: Path) -> None:
    case = {"name": "tin", "input": {"key": "tin"}, "expected": {"allow": True}}
    cases(rules, data={"keys": ["tin"]}, cases=[case])
    assert [row.problem for row in run_suite(rules)] == [None]


@pytest.mark.parametrize("text", ["[]", '{"cases": [{"nme": "a"}]}', '{"cases": 3}', "{"])
def test_a_file_of_cases_that_says_something_else_is_refused(rules: Path, text: str) -> None:
    (rules / "door_cases.json").write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError, match="door_cases"):
        run_suite(rules)


def test_rules_without_tests_do_not_pass_them(rules: Path) -> None:
    with pytest.raises(PolicyError, match="no tests"):
        run_suite(rules)


def test_the_command_prints_a_table_and_fails_with_its_tests(
    rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (rules / "door_test.rego").write_text(TESTS, encoding="utf-8")
    assert run("test", str(rules)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pass  test_brass_opens  door_test.rego"
    assert lines[-1] == "1 pass, 2 fail"


def test_the_command_decides_on_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = admission_input(
        manifest={"id": "acme.upper", "version": "1.0", "isolation": "auto", "permissions": []},
        signature={"state": "unsigned", "reasons": []},
        isolation="L2",
        host=HostFacts(sandbox=True, wasm=False),
    )
    path = tmp_path / "input.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert run("eval", "--input", str(path)) == 0
    assert json.loads(capsys.readouterr().out)["allow"] is True
    document["requested"] = {"isolation": "L0", "switches": []}
    path.write_text(json.dumps(document), encoding="utf-8")
    assert run("eval", "--input", str(path)) == 1
    assert "L2 or L3 only" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[]", "{", "\x00"])
def test_an_input_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "input.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputDecodeError, match=r"input\.json"):
        run("eval", "--input", str(path))
