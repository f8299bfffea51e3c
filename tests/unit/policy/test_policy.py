"""Decisions: only a plain yes is one, and rules that hang, crash or half work are told of."""

from __future__ import annotations

import gzip
import io
import os
import select
import subprocess
import sys
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.errors import (
    InputNotFoundError,
    OpenAutoGLMError,
    PolicyError,
    PolicyInputError,
    PolicyTimeoutError,
)
from openautoglm.policy import DEFAULT_RULES, Limits, Policy
from openautoglm.policy.document import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

HEAD = "package door\nimport rego.v1\n"
DOOR = HEAD + 'default allow := false\nallow if input.key == "brass"\n'
ENDLESS = HEAD + (
    "n := numbers.range(1, 3000)\nallow if { some a in n; some b in n; some c in n; a + b + c < 0 }"
)


def decide(rules: str, document: Mapping[str, object]) -> tuple[bool, tuple[str, ...]]:
    with Policy.from_text(rules) as policy:
        decision = policy.decide(document, entrypoint="door")
        return decision.allow, decision.reasons


def refusal(rules: str, document: Mapping[str, object] | None = None) -> str:
    with pytest.raises(PolicyError) as caught:
        decide(rules, document or {})
    return str(caught.value)


@pytest.fixture(scope="module")
def door() -> Iterator[Policy]:
    with Policy.from_text(DOOR) as policy:
        yield policy


def test_a_rule_that_is_true_allows() -> None:
    assert decide(DOOR, {"key": "brass"}) == (True, ())


@pytest.mark.parametrize("value", ["1", '"true"', "[true]", "{}", '{"allow": true}', "null", "0"])
def test_whatever_is_not_exactly_true_denies(value: str) -> None:
    allow, reasons = decide(f"{HEAD}allow := {value}\n", {})
    assert not allow
    assert len(reasons) == 1


def test_an_undefined_rule_denies() -> None:
    assert decide(f"{HEAD}allow if input.key\n", {}) == (False, ("no rule allows it",))


def test_a_reason_to_deny_beats_a_yes() -> None:
    rules = HEAD + 'allow := true\ndeny contains "late" if input.hour > 22\n'
    assert decide(rules, {"hour": 23}) == (False, ("late",))
    assert decide(rules, {"hour": 21}) == (True, ())


def test_reasons_in_any_form_deny_and_are_told() -> None:
    assert decide(HEAD + 'allow := true\ndeny := "late"\n', {}) == (False, ("late",))
    rules = HEAD + 'allow := true\ndeny contains {"code": 3}\ndeny contains "b"\n'
    assert decide(rules, {}) == (False, ("b", '{"code": 3}'))


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        pytest.param(HEAD + "allow if {\n", "policy.rego:3: this is unclosed", id="unclosed"),
        pytest.param(HEAD + "allow if input.. == 1\n", "policy.rego:3:", id="syntax"),
        pytest.param(HEAD + "\nallow if y == 1\n", "policy.rego:4: a variable", id="variable"),
        pytest.param(HEAD + "allow if not f(1)\n", "policy.rego:3: there is no function f", id="f"),
        pytest.param(
            HEAD + 'deny contains "x" if json.match_schema(input, {})[0]\n',
            "policy.rego:3: there is no function json.match_schema",
            id="missing builtin",
        ),
        pytest.param("package door.a\nallow := true\n", "packages: door/a", id="package"),
        pytest.param(HEAD + "allw := true\n", "no rule `allow`", id="no allow"),
        pytest.param("allow := true\n", "begin it with `package a.b`", id="no package"),
        pytest.param(HEAD + "allow := true\n\0 garbage", "policy.rego:4", id="NUL"),
    ],
)
def test_rules_that_do_not_hold_are_refused_with_their_place(rules: str, told: str) -> None:
    assert told in refusal(rules)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("allow := 1\nallow := 2\n", "multiple outputs"),
        ("allow if 1 / input.zero == 1\n", "divide by zero"),
        ("allow if deny\ndeny if not allow\n", "Recursion"),
        ('allow := true\ndeny contains "x" if startswith(input.zero, "a")\n', "must be string"),
    ],
)
def test_an_error_while_deciding_is_an_error_and_no_decision(rules: str, told: str) -> None:
    assert told in refusal(HEAD + rules, {"zero": 0})


def test_rules_that_do_not_end_are_ended_and_the_next_decision_goes_on() -> None:
    rules = ENDLESS.replace("allow if {", "allow if { input.slow;") + "\nallow if input.fast\n"
    with Policy.from_text(rules, limits=Limits(timeout_s=2.0)) as policy:
        with pytest.raises(PolicyTimeoutError, match="no answer in 2 s"):
            policy.decide({"slow": True}, entrypoint="door")
        assert policy.decide({"fast": True}, entrypoint="door").allow


def test_rules_that_eat_memory_are_ended() -> None:
    rules = HEAD + "allow if count([x | some a in numbers.range(1, 300000); x := [a, a]]) < 0\n"
    limits = Limits(memory_mb=64, timeout_s=60)
    with (
        Policy.from_text(rules, limits=limits) as policy,
        pytest.raises(PolicyError, match=r"ended the process|more memory"),
    ):
        policy.decide({}, entrypoint="door")


def test_a_closed_policy_leaves_no_process_behind() -> None:
    policy = Policy.from_text(DOOR)
    child = policy._process._child
    assert child is not None
    policy.close()
    assert child._process.returncode is not None


def test_decisions_from_several_threads_are_each_ones_own(door: Policy) -> None:
    wrong: list[int] = []

    def ask(number: int) -> None:
        for turn in range(20):
            key = "brass" if (number + turn) % 2 else "tin"
            if door.decide({"key": key}, entrypoint="door").allow is not (key == "brass"):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_fork_decides_with_a_process_of_its_own(door: Policy) -> None:
    assert door.decide({"key": "brass"}, entrypoint="door").allow
    pid = os.fork()
    if pid == 0:
        allowed = door.decide({"key": "brass"}, entrypoint="door").allow
        door.close()
        os._exit(0 if allowed else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert door.decide({"key": "brass"}, entrypoint="door").allow


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"a": "x" * 300_000}, "larger than"),
        ({"a": ["x" * 100] * 3_000}, "larger than"),
        ({"a": [[1, 1]] * 4_000}, "more than 10000 values"),
        ({"a": "brass\0"}, "input.a holds a NUL"),
        ({"a\0": 1}, "NUL"),
        ({"a": [1, 2**64]}, r"input.a\[1\] is no number of 64 bits"),
        ({"a": float("nan")}, "no number"),
        ({"a": {1: 2}}, "a key in input.a is no text"),
        ({"a": b"x"}, "input.a is no JSON"),
        ({"a": {1, 2}}, "input.a is no JSON"),
        ({"a": "\ud800"}, "surrogate"),
    ],
)
def test_an_input_that_is_no_json_of_a_sane_size_is_refused(
    door: Policy, document: dict[str, object], told: str
) -> None:
    with pytest.raises(PolicyInputError, match=told):
        door.decide(document, entrypoint="door")


def test_an_input_that_is_too_deep_is_refused_wherever_it_comes_from(door: Policy) -> None:
    deep: dict[str, object] = {}
    for _ in range(5_000):
        deep = {"a": deep}
    with pytest.raises(PolicyInputError, match="nested too deeply"):
        door.decide(deep, entrypoint="door")


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(value=VALUES)
def test_what_goes_into_the_rules_is_what_was_given(echo: Policy, value: object) -> None:
    assert echo.evaluate({"value": value}, entrypoint="door")["seen"] == {"value": value}


@pytest.fixture(scope="module")
def echo() -> Iterator[Policy]:
    with Policy.from_text(HEAD + "seen := input\nallow := true\n") as policy:
        yield policy


@settings(max_examples=40, deadline=None)
@given(key=TEXTS)
def test_no_text_but_the_right_one_opens_the_door(door: Policy, key: str) -> None:
    decision = door.decide({"key": key}, entrypoint="door")
    assert decision.allow is (key == "brass")


def test_text_becomes_json_of_a_bounded_size() -> None:
    assert to_text({"a": (1, 2.5, None)}, Limits()) == b'{"a": [1, 2.5, null]}'


def test_a_folder_is_loaded_with_its_data_and_without_its_tests(tmp_path: Path) -> None:
    rules = HEAD + "default allow := false\nallow if input.key in data.house.keys\n"
    (tmp_path / "door.rego").write_text(rules, encoding="utf-8")
    (tmp_path / "door_test.rego").write_text("package door\nallow := true\n", encoding="utf-8")
    (tmp_path / "house").mkdir()
    (tmp_path / "house/data.json").write_text('{"keys": ["brass"]}', encoding="utf-8")
    with Policy.load(tmp_path) as policy:
        assert policy.decide({"key": "brass"}, entrypoint="door").allow
        assert not policy.decide({"key": "tin"}, entrypoint="door").allow
    with Policy.load(tmp_path, data={"house": {"keys": ["tin"]}}) as other:
        assert other.decide({"key": "tin"}, entrypoint="door").allow
        assert other.digest != policy.digest


def test_several_paths_are_one_policy(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(HEAD + "allow := true\n", encoding="utf-8")
    (tmp_path / "b.rego").write_text(HEAD + 'deny contains "no" if input.x\n', encoding="utf-8")
    with Policy.load(tmp_path / "a.rego", tmp_path / "b.rego") as policy:
        assert policy.decide({"x": 1}, entrypoint="door").reasons == ("no",)


def bundle(path: Path, files: Mapping[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link is not None:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    return path


def test_a_bundle_is_read_without_unpacking_it(tmp_path: Path) -> None:
    rules = (HEAD + "default allow := false\nallow if input.key in data.house.keys\n").encode()
    files = {"/rules/door.rego": rules, "/house/data.json": b'{"keys": ["brass"]}'}
    path = bundle(tmp_path / "bundle.tar.gz", files, link="/rules/other.rego")
    with Policy.load(path) as policy:
        assert policy.decide({"key": "brass"}, entrypoint="door").allow


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"no archive", "cannot be read"), (gzip.compress(b"no tar" * 100), "cannot be read")],
    ids=["no archive", "an archive of nothing"],  # gzip writes the time into it
)
def test_a_bundle_that_is_none_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(content)
    with pytest.raises(PolicyError, match=told):
        Policy.load(path)


def test_rules_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such rules"):
        Policy.load(tmp_path / "none")
    with pytest.raises(PolicyError, match="there are no rules"):
        Policy.load(tmp_path)


@pytest.mark.parametrize("data", [b"[1]", b"{", b"\xff"])
def test_data_that_is_no_json_object_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.rego").write_text(DOOR, encoding="utf-8")
    (tmp_path / "data.json").write_bytes(data)
    with pytest.raises(PolicyError, match=r"data\.json"):
        Policy.load(tmp_path)


@settings(max_examples=25, deadline=None)
@given(text=st.text(alphabet='pack{}[]():=. \n"ifnotsomeinput1', max_size=60))
def test_any_text_is_rules_or_a_refusal(text: str) -> None:
    try:
        decide(HEAD + text, {})
    except OpenAutoGLMError as error:
        assert error.code in {"OAG711", "OAG713"}  # noqa: PT017 - either end is right


ORPHAN = """
import os, sys
from openautoglm.policy import DEFAULT_RULES, Limits, Policy
policy = Policy.load(sys.argv[1], limits=Limits(timeout_s=1.0))
print(policy._process._child._process.pid, flush=True)
sys.stdin.readline()
if sys.argv[2] == "busy":
    policy._process._child._socket.sendall(b"\\0\\0\\0\\x0dquery door\\n{}")
os._exit(0)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_process_is_left_when_the_program_ends_at_once(tmp_path: Path, state: str) -> None:
    (tmp_path / "door.rego").write_text(ENDLESS, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path), state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        child = os.pidfd_open(int(program.stdout.readline()))
        program.communicate("go\n")
    ended, _, _ = select.select([child], [], [], 30)
    os.close(child)
    assert ended


def test_without_the_engine_the_error_names_the_extra() -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1])\n"
    program += "from openautoglm.policy import Policy; Policy.default()"
    command = [sys.executable, "-I", "-S", "-c", program, str(DEFAULT_RULES.parents[2])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 'fix: pip install "openautoglm[policy]"' in done.stderr
