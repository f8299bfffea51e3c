"""`oag prompt` over a store in a folder."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Command


@pytest.fixture
def prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oag: Callable[[str], Command]
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAUTOGLM_PROMPTS", raising=False)
    Path("a.txt").write_text("摘要:{content}\n", encoding="utf-8")
    Path("b.txt").write_text("一句话摘要:{content}", encoding="utf-8")
    return oag("prompt")


def test_what_was_saved_is_shown_listed_and_compared(prompt: Command) -> None:
    assert prompt("list") == (0, "", "")
    assert prompt("save", "s", "--file", "a.txt", "--message", "first").out == "saved s@1\n"
    assert prompt("save", "s", "--file", "b.txt").out == "saved s@2\n"
    assert prompt("save", "s", "--file", "b.txt").out.startswith("nothing to save: s@2")
    assert prompt("show", "s@1").out == "摘要:{content}\n"
    assert prompt("show", "s").out == "一句话摘要:{content}\n"
    assert [line.split()[0] for line in prompt("list").out.splitlines()] == ["s@2"]
    assert [line.split()[0] for line in prompt("list", "s").out.splitlines()] == ["s@1", "s@2"]
    changes = prompt("diff", "s", "1", "2").out
    assert "-摘要:{content}" in changes
    assert "+一句话摘要:{content}" in changes
    assert prompt("diff", "s", "1", "1") == (0, "", "")


def test_an_alias_leads_to_a_version(prompt: Command) -> None:
    prompt("save", "s", "--file", "a.txt")
    prompt("save", "s", "--file", "b.txt")
    assert prompt("alias", "s", "production", "1").out == "s@production is s@1\n"
    assert prompt("show", "s@production").out == "摘要:{content}\n"
    assert "(production)" in prompt("list", "s").out.splitlines()[0]


def test_a_version_as_json_says_all_that_is_known(prompt: Command) -> None:
    prompt("save", "s", "--file", "a.txt", "--message", "第一")
    data = json.loads(prompt("show", "s", "--json").out)
    assert (data["name"], data["version"], data["message"]) == ("s", 1, "第一")
    assert (data["template"], data["input_variables"]) == ("摘要:{content}", ["content"])
    assert len(data["sha256"]) == 64


def test_a_json_file_is_a_chat(prompt: Command) -> None:
    messages = [{"role": "system", "content": "Be {tone}."}, {"role": "user", "content": "{q}"}]
    Path("c.json").write_text(json.dumps(messages))
    assert prompt("save", "chat", "--file", "c.json").code == 0
    assert json.loads(prompt("show", "chat").out) == messages
    data = json.loads(prompt("show", "chat", "--json").out)
    assert data["input_variables"] == ["tone", "q"]


def test_the_text_may_come_from_standard_input(
    prompt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hi {name}\n")))
    assert prompt("save", "s", "--file", "-", "--var", "name").code == 0
    assert prompt("show", "s").out == "hi {name}\n"


def test_the_store_is_the_option_or_the_environments(
    prompt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt("save", "s", "--file", "a.txt", "--store", "one")
    monkeypatch.setenv("OPENAUTOGLM_PROMPTS", "two")
    prompt("save", "t", "--file", "a.txt")
    assert sorted(str(path) for path in Path().glob("*/*.yaml")) == ["one/s.yaml", "two/t.yaml"]
    assert prompt("list", "--store", "one").out.startswith("s@1")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        pytest.param(("show", "nope"), "[OAG110]", id="no such prompt"),
        pytest.param(("show", "s@9"), "[OAG110]", id="no such version"),
        pytest.param(("diff", "s", "1", "x"), "[OAG110]", id="no such alias"),
        pytest.param(("list", "nope"), "[OAG110]", id="no versions"),
        pytest.param(("save", "../x", "--file", "a.txt"), "[OAG111]", id="a name that leaves"),
        pytest.param(("save", "x", "--file", "nope"), "[OAG501]", id="no such file"),
        pytest.param(("save", "x", "--file", "."), "[OAG501]", id="a folder"),
        pytest.param(("save", "x", "--file", "bad.txt"), "byte offset 0", id="no UTF-8"),
        pytest.param(("save", "x", "--file", "empty.txt"), "holds no text", id="empty"),
        pytest.param(("save", "x", "--file", "a.txt", "--var", "b"), "[OAG102]", id="variable"),
        pytest.param(("save", "x", "--file", "brace.txt"), "[OAG101]", id="no template"),
        pytest.param(("save", "x", "--file", "list.json"), "holds no messages", id="no messages"),
        pytest.param(("save", "x", "--file", "broken.json"), "is no JSON", id="no JSON"),
        pytest.param(("save", "x"), "Missing option", id="no file"),
        pytest.param((), "Usage: oag prompt", id="no command"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2_and_saves_nothing(
    prompt: Command, args: tuple[str, ...], told: str
) -> None:
    Path("bad.txt").write_bytes(b"\xff")
    Path("empty.txt").write_bytes(b"")
    Path("brace.txt").write_text("{a")
    Path("list.json").write_text("[1]")
    Path("broken.json").write_text("[")
    prompt("save", "s", "--file", "a.txt")
    ended = prompt(*args)
    assert ended.code == 2
    assert told in ended.err + ended.out
    assert prompt("list").out.split()[0] == "s@1"
    assert len(prompt("list").out.splitlines()) == 1
