"""Folders that are not whole, as a user meets them: refused at once, by name, and with a fix."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from openautoglm import AutoGLM, OpenAutoGLMError, Row
from openautoglm.errors import (
    InvalidParameterError,
    InvalidPromptError,
    ModelFolderError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAIR = "model.layers.1.mlp.down_proj.weight"
pytestmark = pytest.mark.parametrize("backend", ["native", "transformers"])


@pytest.fixture
def folder(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model(), tmp_path / "model")


@pytest.fixture
def engine(tiny_model: Callable[..., Path], backend: str) -> Iterator[AutoGLM]:
    with AutoGLM(tiny_model(), backend=backend, max_length=8) as made:
        yield made


def changed(folder: Path, **values: object) -> Path:
    """Change values of a folder's config.json."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, **values}), encoding="utf-8")
    return folder


def refusal(folder: Path, backend: str, kind: type[OpenAutoGLMError]) -> str:
    with pytest.raises(kind) as caught:
        AutoGLM(folder, backend=backend)
    assert caught.value.fix
    return str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("name", [PAIR, "model.norm.weight", "model.embed_tokens.weight"])
def test_weights_that_are_not_numbers_are_refused_by_name(
    folder: Path, backend: str, name: str, value: float
) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights[name].reshape(-1)[-1] = value
    save_file(weights, file, metadata={"format": "pt"})
    assert name in refusal(folder, backend, WeightsCorruptError)


def test_a_vocabulary_that_is_not_the_weights_is_refused(folder: Path, backend: str) -> None:
    said = refusal(changed(folder, vocab_size=999), backend, ModelFolderError)
    assert "model.embed_tokens.weight has 328 rows, `vocab_size` is 999" in said


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(folder: Path, backend: str) -> None:
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings["extra_special_tokens"] = [f"<x{n}>" for n in range(20)]
    file.write_text(json.dumps(settings), encoding="utf-8")
    assert "no embedding" in refusal(folder, backend, ModelFolderError)


@pytest.mark.parametrize("gone", ["tokenizer*", "tokenizer.json"])
def test_a_tokenizer_that_is_missing_is_named(folder: Path, backend: str, gone: str) -> None:
    for file in folder.glob(gone):
        file.unlink()
    assert "tokenizer" in refusal(folder, backend, ModelFolderError)


@pytest.mark.parametrize("gone", ["config.json", "model.safetensors"])
def test_a_file_that_is_missing_is_named(folder: Path, backend: str, gone: str) -> None:
    (folder / gone).unlink()
    said = refusal(folder, backend, ModelFolderError)
    assert gone in said


def test_a_prompt_longer_than_the_context_is_refused_with_the_numbers(engine: AutoGLM) -> None:
    with pytest.raises(InvalidPromptError, match=r"\d+ tokens, the context is 128") as caught:
        engine.run("dog " * 400)
    assert "split it" in str(caught.value.fix)
    long, short = engine.batch(["dog " * 400, "dog"], on_error="keep")
    assert isinstance(long.error, InvalidPromptError)
    assert short.finish_reason != "error"


def test_too_many_stop_strings_are_refused_in_the_row_that_has_them(engine: AutoGLM) -> None:
    with pytest.raises(InvalidParameterError, match="129, at most 128"):
        engine.run("dog", stop=["x"] * 129)
    rows = [Row(prompt="dog", params={"stop": ["x"] * 129}), Row(prompt="dog")]
    answers = dict(engine.stream_batch(rows))
    assert isinstance(answers[0].error, InvalidParameterError)
    assert answers[1].error is None


def test_answers_are_the_same_on_every_face(engine: AutoGLM) -> None:
    prompts = ["dog", "the quick", "fox"]
    params: dict[str, Any] = {"temperature": 0.8, "seed": 3}

    async def asynchronous() -> list[list[str]]:
        return [
            [(await engine.arun(prompt, **params)).text for prompt in prompts],
            ["".join([p async for p in engine.astream(prompt, **params)]) for prompt in prompts],
            [answer.text async for answer in engine.abatch(prompts, **params)],
            [
                text
                for _, text in sorted(
                    [
                        (name, answer.text)
                        async for name, answer in engine.astream_batch(
                            Row(prompt=prompt, params=params) for prompt in prompts
                        )
                    ]
                )
            ],
        ]

    alone = [engine.run(prompt, **params).text for prompt in prompts]
    assert [answer.text for answer in engine.batch(prompts, **params)] == alone
    assert asyncio.run(asynchronous()) == [alone] * 4
