"""One suite over all backends."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm.engine.backend import BACKENDS, Backend, LoadSpec
from openautoglm.testing import EchoBackend, vllm_fake
from openautoglm.testing.backend_conformance import CHECKS, MakeBackend
from openautoglm.testing.openai_server import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BY_NAME = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@BY_NAME
def test_echo(check: Callable[[MakeBackend], None]) -> None:
    check(EchoBackend)


@BY_NAME
def test_transformers(
    check: Callable[[MakeBackend], None], tiny_model: Callable[..., Path]
) -> None:
    spec = LoadSpec(model=os.fspath(tiny_model("glm")), options={"batch_size": 4})
    check(lambda: BACKENDS.get("transformers").load(spec))


@BY_NAME
@pytest.mark.parametrize("mode", ["fp32", "int8", "int4"])
@pytest.mark.parametrize("family", ["qwen2", "llama", "glm"])
def test_native(
    check: Callable[[MakeBackend], None], tiny_model: Callable[..., Path], family: str, mode: str
) -> None:
    options = {"mode": mode, "slots": 3}
    spec = LoadSpec(model=os.fspath(tiny_model(family)), options=options)
    check(lambda: BACKENDS.get("native").load(spec))


@BY_NAME
@pytest.mark.slow
def test_native_in_worker_processes(
    check: Callable[[MakeBackend], None], tiny_model: Callable[..., Path]
) -> None:
    options = {"mode": "fp32", "slots": 3, "processes": 2}
    spec = LoadSpec(model=os.fspath(tiny_model()), options=options)
    check(lambda: BACKENDS.get("native").load(spec))


@BY_NAME
def test_gguf(check: Callable[[MakeBackend], None], tiny_gguf: Callable[..., Path]) -> None:
    spec = LoadSpec(model=os.fspath(tiny_gguf("llama")), options={"slots": 3, "cache": "f32"})
    check(lambda: BACKENDS.get("gguf").load(spec))


@BY_NAME
def test_vllm_by_a_stand_in(
    check: Callable[[MakeBackend], None],
    tiny_model: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, module in vllm_fake.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = LoadSpec(model=os.fspath(tiny_model()), options={"slots": 3})
    check(lambda: BACKENDS.get("vllm").load(spec))


@BY_NAME
@pytest.mark.slow
def test_nano(check: Callable[[MakeBackend], None]) -> None:
    check(lambda: BACKENDS.get("nano").load(LoadSpec()))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@BY_NAME
def test_openai(check: Callable[[MakeBackend], None], server: OpenAIServer) -> None:
    def make() -> Backend:
        return BACKENDS.get("openai").load(LoadSpec(model=server.url))

    check(make)
