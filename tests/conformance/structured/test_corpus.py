"""Hundreds of schemas: each is refused at once with its reason, or followed by every answer."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.structured import compile_schema
from openautoglm.errors import SchemaError
from openautoglm.testing import EchoBackend

from .answering import Tally, answer, closing_tokens, compiled
from .corpus import hopeless, satisfiable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .parts import Schema

CONTEXT = 512
AT_ONCE = 60
"""Schemas that are compiled, then answered: what was compiled is kept for so long."""
APART = 7
"""Every so many schemas of the corpus, other backends answer one."""


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of random weights with room for an answer."""
    copy = tmp_path_factory.mktemp("roomy") / "model"
    shutil.copytree(tiny_model(), copy)
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config["max_position_embeddings"] = CONTEXT
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return copy


def found_nothing(tally: Tally) -> None:
    sys.stderr.write(f"{tally.told()}\n")
    assert tally.invalid == []
    assert tally.failed == []
    assert tally.slow == []


def test_the_native_engine_follows_every_schema_of_the_corpus(folder: Path) -> None:
    schemas, tally = list(satisfiable().items()), Tally()
    params = {"max_length": 160, "logit_bias": closing_tokens(folder)}
    with AutoGLM(folder, backend="native") as engine:
        for start in range(0, len(schemas), AT_ONCE):
            accepted = compiled(dict(schemas[start : start + AT_ONCE]), tally)
            answer(engine, accepted, seeds=range(1, 2), params=params, tally=tally)
    found_nothing(tally)
    assert len(schemas) >= 300
    assert tally.accepted >= 0.9 * len(schemas)
    assert tally.valid >= 0.85 * len(schemas)
    assert tally.unlucky <= tally.checked


@pytest.mark.parametrize("backend", ["transformers", "gguf"])
def test_other_local_backends_follow_them_too(
    backend: str, folder: Path, tiny_gguf: Callable[..., Path]
) -> None:
    if backend == "gguf":
        pytest.importorskip("llama_cpp", reason="llama-cpp-python is an extra of its own")
    place = tiny_gguf() if backend == "gguf" else folder
    some = dict(list(satisfiable().items())[::APART])
    tally = Tally()
    params = {"max_length": 60, "logit_bias": closing_tokens(folder)}
    with AutoGLM(place, backend=backend) as engine:
        answer(engine, compiled(some, tally), seeds=range(1, 2), params=params, tally=tally)
    found_nothing(tally)
    assert tally.accepted == len(some)
    assert tally.valid >= len(some) / 2


@pytest.mark.parametrize("reason", hopeless())
def test_what_has_no_answer_is_refused_with_the_reason_and_the_fix(reason: str) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema(hopeless()[reason])
    assert caught.value.got
    assert caught.value.fix


def test_an_answer_that_breaks_a_schema_would_be_found() -> None:
    tally = Tally()
    engine = AutoGLM(backend=EchoBackend(["[1]", '{"a": 1}', "{}"]))
    schemas: dict[str, Schema] = {"array of texts": {"type": "array", "items": {"type": "string"}}}
    answer(engine, schemas, seeds=range(1), params={}, tally=tally)
    answer(engine, {"spaces": {"type": "object"}}, seeds=range(1), params={}, tally=tally)
    answer(engine, {"right": {"type": "object"}}, seeds=range(1), params={}, tally=tally)
    assert [len(tally.failed), len(tally.invalid), tally.valid] == [1, 1, 1]
