"""GGUF files by llama.cpp: the native engine's answers, and files that are damaged or too large."""

from __future__ import annotations

import logging
import os
import signal
import struct
import sys
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.backend import BACKENDS, LoadSpec
from openautoglm.engine.backends.gguf.header import read_gguf
from openautoglm.engine.backends.gguf.trial import check_in_another_process
from openautoglm.engine.loading import decide
from openautoglm.errors import (
    BackendUnavailableError,
    EngineClosedError,
    InvalidParameterError,
    InvalidPromptError,
    ModelFolderError,
    ModelNotFoundError,
    ModelTooLargeError,
    OpenAutoGLMError,
    UnknownArchitectureError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.engine.backend import Backend

    MakeFile = Callable[..., Path]

PROMPTS = ["the quick", "请根据以下内容", "a", "emoji 👋🏽 and accents " * 2, "dog " * 9, "fox"]
COPY = "the quick brown fox jumps over the lazy dog. " * 2
SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["billing", "delivery"]},
        "name": {"type": "string", "x-extractive": True},
        "note": {"type": "string", "maxLength": 9},
    },
    "required": ["label", "name", "note"],
    "additionalProperties": False,
}


def load(file: Path, **options: object) -> Backend:
    return BACKENDS.get("gguf").load(LoadSpec(model=os.fspath(file), options=options))


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_greedy_answers_are_those_of_the_native_backend_on_the_same_weights(
    tiny_model: MakeFile, tiny_gguf: MakeFile, family: str
) -> None:
    with (
        AutoGLM(tiny_gguf(family), max_length=24, slots=3, cache="f32") as ours,
        AutoGLM(tiny_model(family), backend="native", max_length=24) as theirs,
    ):
        assert ours.choice.backend == "gguf"
        prompts = [*PROMPTS, *PROMPTS[::-1], COPY]
        for one, other in zip(ours.batch(prompts), theirs.batch(prompts), strict=True):
            assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
            assert one.prompt_tokens == other.prompt_tokens
            assert one.completion_tokens == other.completion_tokens
        assert ours.count_tokens("the fox <|end|>") == theirs.count_tokens("the fox <|end|>")
        assert ours.model_info.parameters == theirs.model_info.parameters
        assert ours.model_info.context_length == theirs.model_info.context_length
        assert ours.model_info.vocabulary == theirs.model_info.vocabulary


def test_a_template_is_read_out_of_the_file_and_a_file_without_one_takes_text(
    tiny_model: MakeFile, tiny_gguf: MakeFile
) -> None:
    for chat in (True, False):
        with (
            AutoGLM(tiny_gguf(chat=chat), max_length=9) as ours,
            AutoGLM(tiny_model(chat=chat), backend="native", max_length=9) as theirs,
        ):
            one, other = ours.run("the fox"), theirs.run("the fox")
            assert (one.prompt_tokens, one.text) == (other.prompt_tokens, other.text)


def test_a_spelled_control_token_stays_text(tiny_gguf: MakeFile) -> None:
    with AutoGLM(tiny_gguf(), max_length=4) as engine:
        said = engine.run("a<|end|>b").prompt_tokens
        plain = engine.run("ab").prompt_tokens
        assert said - plain > len("<|end|>") // 2  # characters, not the one token


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0.8, "seed": 3, "top_k": 9, "top_p": 0.9},
        {"temperature": 1.2, "seed": 4, "min_p": 0.05, "logprobs": 2},
        {"repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.5},
        {"logit_bias": {70: 4.0}, "min_tokens": 20, "logprobs": 0},
        {"n": 3, "temperature": 1.0, "seed": 5},
    ],
    ids=str,
)
def test_every_sampling_parameter_chooses_as_the_native_backend_does(
    tiny_model: MakeFile, tiny_gguf: MakeFile, params: dict[str, Any]
) -> None:
    with (
        AutoGLM(tiny_gguf(), max_length=20, cache="f32", **params) as ours,
        AutoGLM(tiny_model(), backend="native", max_length=20, **params) as theirs,
    ):
        for prompt in PROMPTS[:3]:
            one, other = ours.run(prompt), theirs.run(prompt)
            assert one.text == other.text
            assert [x.text for x in one.others] == [x.text for x in other.others]
            assert [p.token for p in one.logprobs] == [p.token for p in other.logprobs]
            for mine, its in zip(one.logprobs, other.logprobs, strict=True):
                assert mine.logprob == pytest.approx(its.logprob, abs=1e-4)


def test_a_schema_is_followed_and_copies_come_from_the_source(
    tiny_model: MakeFile, tiny_gguf: MakeFile
) -> None:
    with (
        AutoGLM(tiny_gguf(), max_length=60, cache="f32") as ours,
        AutoGLM(tiny_model(), backend="native", max_length=60) as theirs,
    ):
        for one, other in zip(
            ours.batch(PROMPTS, schema=SCHEMA), theirs.batch(PROMPTS, schema=SCHEMA), strict=True
        ):
            assert one.text == other.text
            assert one.parsed == other.parsed


def test_a_shared_beginning_and_guesses_change_no_token(tiny_gguf: MakeFile) -> None:
    prompts = [f"{COPY}{n}" for n in range(7)]
    texts = []
    ways: list[dict[str, Any]] = [{"slots": 1, "speculate": False}, {"slots": 4}, {"context": 127}]
    for options in ways:
        with AutoGLM(tiny_gguf(), max_length=30, cache="f32", **options) as engine:
            texts.append([answer.text for answer in engine.batch(prompts * 2)])
    assert texts[0] == texts[1] == texts[2]


def test_quantized_files_and_threads_run_as_well(tiny_gguf: MakeFile) -> None:
    with AutoGLM(tiny_gguf("llama", "q8_0"), max_length=8, threads=2) as engine:
        answers = list(engine.batch(PROMPTS))
        assert all(answer.completion_tokens == 8 for answer in answers)
        assert engine.run("fox").text == engine.run("fox").text
        assert engine.model_info.dtype == "Q8_0"


def test_a_prompt_longer_than_the_context_is_refused_or_cut(tiny_gguf: MakeFile) -> None:
    with AutoGLM(tiny_gguf(), context=64) as engine, pytest.raises(InvalidPromptError) as caught:
        engine.run("dog " * 99)
    assert "the context is 64" in str(caught.value)
    with AutoGLM(tiny_gguf(), context=64, truncate=True, max_length=4) as engine:
        answer = engine.run("dog " * 99)
        assert 0 < answer.prompt_tokens <= 60 < answer.prompt_tokens + answer.left_out


def test_an_adapter_is_refused_with_what_takes_one(tiny_gguf: MakeFile, tmp_path: Path) -> None:
    with AutoGLM(tiny_gguf()) as engine, pytest.raises(InvalidParameterError) as caught:
        engine.load_adapter("support", tmp_path)
    assert 'backend="native"' in str(caught.value.fix)


def test_closing_ends_what_is_under_way_and_is_final(tiny_gguf: MakeFile) -> None:
    backend = load(tiny_gguf())
    engine = AutoGLM(backend=backend, max_length=99)
    stream = engine.stream("dog")
    next(iter(stream))
    engine.close()
    backend.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    with pytest.raises(EngineClosedError):
        backend.count_tokens("a")
    assert backend.describe().vocabulary == 328


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"slots": 0}, InvalidParameterError),
        ({"slots": 300}, InvalidParameterError),
        ({"threads": True}, InvalidParameterError),
        ({"context": 4096}, InvalidParameterError),
        ({"truncate": "beginning"}, InvalidParameterError),
        ({"speculate": 1}, InvalidParameterError),
        ({"cache": "f64"}, InvalidParameterError),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(
    tiny_gguf: MakeFile, options: dict[str, Any], error: type[OpenAutoGLMError]
) -> None:
    with pytest.raises(error) as caught:
        load(tiny_gguf(), **options)
    assert caught.value.fix


def test_a_device_and_a_dtype_that_are_not_there_are_refused(tiny_gguf: MakeFile) -> None:
    file = tiny_gguf()
    with pytest.raises(BackendUnavailableError, match="built for the CPU alone"):
        AutoGLM(file, device="cuda")
    with pytest.raises(InvalidParameterError, match="says itself"):
        AutoGLM(file, dtype="float32")


def test_a_file_that_is_no_gguf_file_is_told_so(tmp_path: Path, tiny_model: MakeFile) -> None:
    other = tmp_path / "model.gguf"
    other.write_bytes(b"GGML and something")
    for path, error in (
        (other, ModelFolderError),
        (tmp_path / "none.gguf", ModelNotFoundError),
        (tiny_model(), ModelNotFoundError),
    ):
        with pytest.raises(error) as caught:
            load(path)
        assert caught.value.fix


def test_what_does_not_fit_memory_is_refused_before_it_is_read(
    tiny_gguf: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openautoglm.engine.backends.gguf import loading

    monkeypatch.setattr(loading, "free_bytes", lambda: 1000)
    with pytest.raises(ModelTooLargeError, match="the model does not fit"):
        load(tiny_gguf())
    size = tiny_gguf().stat().st_size
    monkeypatch.setattr(loading, "free_bytes", lambda: size + 1)
    backend = load(tiny_gguf("llama"), slots=64)  # the cache shrinks, the context does not
    assert backend.describe().context_length == 128
    backend.close()
    monkeypatch.setattr(loading, "PART_FOR_CACHE", 0.01)
    with pytest.raises(ModelTooLargeError, match="a cache for"):
        load(tiny_gguf(), context=128)


def damaged(file: Path, target: Path, *, old: bytes, new: bytes) -> Path:
    data = file.read_bytes()
    assert data.count(old)
    target.write_bytes(data.replace(old, new, 1))
    return target


def key(name: str) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode()


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"GGUF\x03", b"GGUF\x01", ModelFolderError),
        (b"GGUF\x03\0\0\0", b"GGUF\0\0\0\x03", ModelFolderError),
        (key("qwen2"), key("qwent"), WeightsCorruptError),  # its numbers are then missing
        (key("general.name"), key("")[:8] + b"general.name", WeightsCorruptError),
        (
            b"qwen2.block_count\x04\0\0\0\x02",
            b"qwen2.block_count\x04\0\0\0\x03",
            WeightsCorruptError,
        ),
        (b"qwen2.block_count\x04\0\0\0\x02", b"qwen2.block_count\x04\0\0\0\0", WeightsCorruptError),
        (b"head_count\x04\0\0\0\x04", b"head_count\x04\0\0\0\0", WeightsCorruptError),
        (b"head_count\x04", b"head_count\x63", WeightsCorruptError),
        (key("blk.0.attn_q.weight"), key("blk.0.attn_x.weight"), WeightsCorruptError),
        (key("gpt2"), key("none"), BackendUnavailableError),
    ],
)
def test_a_damaged_file_is_an_error_with_a_fix(
    tiny_gguf: MakeFile, tmp_path: Path, old: bytes, new: bytes, error: type[OpenAutoGLMError]
) -> None:
    with pytest.raises(error) as caught:
        load(damaged(tiny_gguf(), tmp_path / "x.gguf", old=old, new=new))
    assert caught.value.fix


def test_a_family_llama_cpp_does_not_know_is_named(tiny_gguf: MakeFile, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(tiny_gguf().read_bytes().replace(b"qwen2", b"qwent"))
    with pytest.raises(UnknownArchitectureError, match="qwent"):
        load(file)


@pytest.mark.parametrize("share", [0.0002, 0.01, 0.05, 0.5, 0.98])
def test_a_truncated_file_is_an_error_with_a_fix(
    tiny_gguf: MakeFile, tmp_path: Path, share: float
) -> None:
    data = tiny_gguf().read_bytes()
    file = tmp_path / "x.gguf"
    file.write_bytes(data[: 5 + int(len(data) * share)])
    with pytest.raises(WeightsCorruptError) as caught:
        load(file)
    assert "again" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"dimension_count\x04\0\0\0\x10", b"dimension_count\x04\0\0\0\x08"),
        (b"key_length\x04\0\0\0\x10", b"key_length\x04\0\0\0\x11"),
        (key("!"), key('"')),  # one token twice
    ],
)
def test_damage_that_llama_cpp_ends_the_process_for_is_an_error_here(
    tiny_gguf: MakeFile, tmp_path: Path, old: bytes, new: bytes
) -> None:
    with pytest.raises(WeightsCorruptError, match="GGML_ASSERT") as caught:
        load(damaged(tiny_gguf(), tmp_path / "x.gguf", old=old, new=new))
    assert "again" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("by", "error", "words"),
    [
        (signal.SIGILL, BackendUnavailableError, "another processor"),
        (signal.SIGKILL, ModelTooLargeError, "memory ran out"),
        (signal.SIGSEGV, WeightsCorruptError, "SIGSEGV"),
    ],
)
def test_what_ended_a_trial_is_told_apart(
    by: signal.Signals,
    error: type[OpenAutoGLMError],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, program = tmp_path / "x.gguf", tmp_path / "python"
    file.touch()
    program.write_text(f"#!/bin/sh\nkill -{by.value} $$\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(error, match=words) as caught:
        check_in_another_process(file)
    assert caught.value.fix


def test_llama_cpp_says_nothing_unless_asked(
    tiny_gguf: MakeFile, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    load(tiny_gguf()).close()
    assert capfd.readouterr() == ("", "")
    with caplog.at_level(logging.DEBUG, logger="openautoglm.gguf"):
        load(tiny_gguf()).close()
    assert any("n_ctx" in record.message for record in caplog.records)


def test_auto_chooses_it_by_what_the_file_begins_with(tiny_gguf: MakeFile, tmp_path: Path) -> None:
    file = tmp_path / "no-suffix"
    file.write_bytes(tiny_gguf().read_bytes())
    choice = decide(os.fspath(file), "auto", LoadSpec())
    assert (choice.backend, choice.reason) == ("gguf", "it is a GGUF file")
    assert dict(choice.refused)["native"] == "a GGUF file is for llama.cpp"


def test_the_header_says_what_the_cache_takes(tiny_gguf: MakeFile) -> None:
    header = read_gguf(tiny_gguf())
    assert header.architecture == "qwen2"
    assert header.position_numbers == 2 * 2 * (16 + 16)  # layers, key heads, widths
    assert header.file_bytes == tiny_gguf().stat().st_size
