"""The native backend as it is loaded: options, folders that do not fit, processes, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.backend import BACKENDS, LoadSpec
from openautoglm.errors import (
    BackendUnavailableError,
    InvalidParameterError,
    InvalidPromptError,
    ModelFolderError,
    ModelTooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.engine.backend import Backend


def load(folder: Path, **options: object) -> Backend:
    return BACKENDS.get("native").load(LoadSpec(model=os.fspath(folder), options=options))


@pytest.mark.parametrize("backend", ["native", "transformers"])
def test_a_prompt_that_is_too_long_is_shortened_where_that_was_asked_for(
    tiny_model: Callable[..., Path], backend: str
) -> None:
    model = tiny_model()
    chat = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "the quick brown fox " * 90},
    ]
    with AutoGLM(model, backend=backend, truncate=True, max_length=28) as engine:
        answers = [engine.run(chat), *engine.batch([chat, "dog"])]
        assert [90 <= answer.prompt_tokens <= 100 for answer in answers] == [True, True, False]
        assert answers[0].prompt_tokens + answers[0].left_out > 300
        assert answers[1].left_out == answers[0].left_out
        assert answers[2].left_out == 0
        with pytest.raises(InvalidPromptError, match="the context is 128"):
            engine.run([{"role": "system", "content": "be kind " * 90}, *chat[1:]])
    with (
        AutoGLM(model, backend=backend) as engine,
        pytest.raises(InvalidPromptError, match="the context is 128"),
    ):
        engine.run(chat)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mode": "int3"}, InvalidParameterError),
        ({"slots": 0}, InvalidParameterError),
        ({"threads": "2"}, InvalidParameterError),
        ({"context": 4096}, InvalidParameterError),
        ({"speculate": 1}, InvalidParameterError),
        ({"truncate": "left"}, InvalidParameterError),
        ({"mode": "bf16", "deterministic": True}, InvalidParameterError),
        ({"slots": 10**12}, ModelTooLargeError),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(
    tiny_model: Callable[..., Path], options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        load(tiny_model(), **options)


def test_what_is_not_the_cpu_or_not_a_mode_is_refused(tiny_model: Callable[..., Path]) -> None:
    model = os.fspath(tiny_model())
    entry = BACKENDS.get("native")
    with pytest.raises(BackendUnavailableError):
        entry.load(LoadSpec(model=model, device="cuda"))
    with pytest.raises(InvalidParameterError):
        entry.load(LoadSpec(model=model, dtype="float16"))
    loaded = entry.load(LoadSpec(model=model, dtype="bfloat16", device="cpu"))
    assert loaded.describe().dtype == "bfloat16"
    loaded.close()


def test_a_tokenizer_of_another_model_is_refused(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    import shutil

    folder = shutil.copytree(tiny_model(), tmp_path / "model")
    file = folder / "tokenizer_config.json"
    value = json.loads(file.read_text(encoding="utf-8"))
    value["extra_special_tokens"] = [f"<x{n}>" for n in range(20)]
    file.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="no embedding"):
        load(folder)


SCRIPT = """
import os, sys
from openautoglm import AutoGLM
engine = AutoGLM(sys.argv[1], backend="native", max_length=4)
fresh = os.fork()
if not fresh:
    engine.run("dog")
    engine.close()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(fresh, 0)[1]))
text = engine.run("dog").text
child = os.fork()
if not child:
    try:
        engine.run("dog")
    except Exception as error:
        print(type(error).__name__, flush=True)
    engine.close()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), engine.run("dog").text == text)
print(sorted({"torch", "transformers", "huggingface_hub"} & set(sys.modules)))
"""


def test_a_forked_process_is_told_and_no_torch_is_imported(
    tiny_model: Callable[..., Path],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, os.fspath(tiny_model())],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split("\n")[:-1] == ["7", "EngineClosedError", "0 True", "[]"]


MEMORY = """
import gc, sys
import psutil
from openautoglm import AutoGLM
rss = lambda: psutil.Process().memory_info().rss / 2**20
def use():
    with AutoGLM(sys.argv[1], backend="native", max_length=100, slots=8) as engine:
        list(engine.batch([f"dog {n}" for n in range(16)]))
        return rss()
use()
gc.collect()
before = rss()
peaks = [use() for _ in range(5)]
gc.collect()
print(rss() - before < 8, engine_free := rss() - before)
"""


def test_closing_gives_the_memory_back(tiny_model: Callable[..., Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, os.fspath(tiny_model())],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.startswith("True"), done.stdout
