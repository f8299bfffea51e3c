"""`oag models info` on folders that are whole, broken, or not there."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from openautoglm.cli.ending import run_to_end
from openautoglm.cli.models import has_chat_template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def info(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run_to_end(["models", "info", *args])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_folder_is_described(
    tiny_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = info(capsys, str(tiny_model("llama")))
    assert (code, err) == (0, "")
    for line in (
        "architecture  LlamaForCausalLM (llama)",
        "context       128 tokens",
        "vocabulary    328 tokens",
        "tokenizer     yes",
        "chat template yes",
        "file          model.safetensors, ",
        "backend       native: it is a folder on this machine",
        "not           nano: ",
        "not           openai: ",
        "not           transformers: ",
        "(fits)",
    ):
        assert line in out


def test_a_folder_without_a_chat_template_says_so(
    tiny_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = info(capsys, str(tiny_model("qwen2", chat=False)))
    assert "chat template no" in out


def test_a_broken_folder_is_an_error_of_the_model(
    tiny_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model("qwen2"), folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    code, out, err = info(capsys, str(folder))
    assert (code, out) == (3, "")
    assert "[OAG303]" in err


@pytest.mark.parametrize("path", ["./nope", "/nope/nope", "a b"])
def test_what_is_no_model_is_refused(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = info(capsys, path)
    assert (code, out) == (3, "")
    assert "[OAG301]" in err


def test_a_server_and_a_name_of_the_hub_are_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = info(capsys, "http://127.0.0.1:9/v1")
    assert code == 0
    assert "backend       openai: it is the URL of a server" in out
    code, out, _ = info(capsys, "someone/some-model")
    assert code == 0
    assert "backend       transformers" in out


def test_a_name_in_the_hubs_cache_is_described_as_its_folder(
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / "models--someone--some-model"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("abc", encoding="utf-8")
    shutil.copytree(tiny_model(), model / "snapshots" / "abc")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    code, out, _ = info(capsys, "someone/some-model")
    assert code == 0
    assert "Qwen2ForCausalLM" in out
    assert "backend       native" in out
    assert "the hub's cache" in out


def test_the_model_of_the_environment_is_the_default(
    tiny_model: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_MODEL", str(tiny_model("llama")))
    _, out, _ = info(capsys)
    assert "LlamaForCausalLM" in out
    assert "OPENAUTOGLM_MODEL" in out


def test_a_wrong_model_of_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_MODEL", str(tmp_path / "gone"))
    code, _, err = info(capsys)
    assert code
    assert f"OPENAUTOGLM_MODEL={tmp_path / 'gone'}" in err


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("tokenizer_config.json", json.dumps({"chat_template": "x"}), True),
        ("tokenizer_config.json", json.dumps({"chat_template": None}), False),
        ("tokenizer_config.json", "[]", False),
        ("tokenizer_config.json", "{", False),
        ("chat_template.jinja", "x", True),
        ("other.json", "{}", False),
    ],
)
def test_a_chat_template_may_be_in_three_places(
    tmp_path: Path, name: str, text: str, *, found: bool
) -> None:
    (tmp_path / name).write_text(text)
    assert has_chat_template(tmp_path) is found


def test_a_gguf_file_is_described(
    tiny_gguf: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = info(capsys, str(tiny_gguf()))
    assert (code, err) == (0, "")
    for line in (
        "architecture  qwen2\n",
        "context       128 tokens\n",
        "vocabulary    328 tokens\n",
        "chat template yes\n",
        "MiB as stored (fits); ",
        "backend       gguf: it is a GGUF file\n",
        "not           native: a GGUF file is for llama.cpp\n",
    ):
        assert line in out
