"""An engine that gives its memory back for a while: when it may, and that nobody notices."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from openautoglm import AutoGLM
from openautoglm.engine.backend import BACKENDS, BackendEntry
from openautoglm.errors import (
    EngineBusyError,
    EngineClosedError,
    InvalidParameterError,
    ModelTooLargeError,
)
from openautoglm.registry import owned_by
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from openautoglm.engine.backend import LoadSpec, ModelInfo, Request
    from openautoglm.engine.generation import Generation


HIDDEN = 64
"""Of the tiny model."""


class Loads:
    """An echo by name that counts how often it was loaded, and refuses where told to."""

    def __init__(self) -> None:
        self.count = 0
        self.refusal: Exception | None = None
        self.made: list[EchoBackend] = []

    def __call__(self, _spec: LoadSpec) -> EchoBackend:
        if self.refusal is not None:
            raise self.refusal
        self.count += 1
        self.made.append(EchoBackend())
        return self.made[-1]


@pytest.fixture
def loads() -> Iterator[Loads]:
    made = Loads()
    with owned_by("test"):
        BACKENDS.add("counted", BackendEntry(load=made, summary="counts"))
    yield made
    BACKENDS.revoke("test")


def test_the_next_call_wakes_it_whichever_it_is(loads: Loads) -> None:
    async def ask() -> str:
        return (await engine.arun("ab")).text

    with AutoGLM(backend="counted", max_length=2) as engine:
        calls: list[Callable[[], object]] = [
            lambda: engine.run("abc").text,
            lambda: "".join(engine.stream("abc")),
            lambda: next(engine.batch(["abc"])).text,
            lambda: dict(engine.stream_batch(["abc"]))[0].text,
            lambda: asyncio.run(ask()),
        ]
        for number, call in enumerate(calls):
            states = [engine.state]
            for _ in range(2):
                engine.sleep()
                states.append(engine.state)
            assert states == ["ready", "asleep", "asleep"]
            assert engine.model_info.backend == "echo"
            assert "asleep" in repr(engine)
            assert call() == "ab"
            assert loads.count == number + 2
        engine.sleep()
        assert engine.count_tokens("abc") == len("abc")


def test_it_wakes_when_told_and_once_for_many_threads(loads: Loads) -> None:
    with AutoGLM(backend="counted") as engine:
        engine.sleep()
        threads = [threading.Thread(target=engine.wake) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (engine.state, loads.count) == ("ready", 2)


def test_it_does_not_sleep_while_something_is_under_way(loads: Loads) -> None:
    with AutoGLM(backend="counted") as engine:
        stream = engine.stream("abc")
        next(stream)
        rows = engine.batch(["a", "b", "c"])
        next(rows)
        with pytest.raises(EngineBusyError, match="streams too: 2"):
            engine.sleep()
        assert "".join(stream) == "bc"
        assert [row.text for row in rows] == ["b", "c"]
        half = engine.stream("abc")
        next(half)
        half.close()
        dropped = engine.stream("abc")
        next(dropped)
        del dropped
        engine.sleep()
        assert loads.count == 1


def test_a_stream_that_was_not_read_wakes_the_model_when_it_is(loads: Loads) -> None:
    with AutoGLM(backend="counted") as engine:
        stream = engine.stream("abc")
        engine.sleep()
        assert "".join(stream) == "abc"
        assert loads.count == 2


def test_one_that_cannot_wake_sleeps_on_and_can_later(loads: Loads) -> None:
    with AutoGLM(backend="counted") as engine:
        engine.sleep()
        loads.refusal = ModelTooLargeError("no room", fix="make some")
        with pytest.raises(ModelTooLargeError):
            engine.run("a")
        assert engine.state == "asleep"
        loads.refusal = None
        assert engine.run("a").text == "a"


def test_closing_a_sleeper_is_final(loads: Loads) -> None:
    engine = AutoGLM(backend="counted")
    engine.sleep()
    engine.close()
    engine.close()
    assert engine.state == "closed"
    for call in (engine.sleep, engine.wake, lambda: engine.run("a")):
        with pytest.raises(EngineClosedError):
            call()
    assert loads.count == 1


def test_an_object_that_cannot_sleep_says_so() -> None:
    with AutoGLM(backend=EchoBackend()) as engine:
        with pytest.raises(InvalidParameterError, match="`echo` cannot sleep") as caught:
            engine.sleep()
        assert "`wake`" in str(caught.value.fix)
        assert engine.run("a").text == "a"


class SleepingEcho:
    """An echo that sleeps by itself."""

    def __init__(self) -> None:
        self._echo = EchoBackend()
        self.told: list[str] = []

    def sleep(self) -> None:
        self.told.append("sleep")

    def wake(self) -> None:
        self.told.append("wake")

    def describe(self) -> ModelInfo:
        return self._echo.describe()

    def count_tokens(self, text: str) -> int:
        return self._echo.count_tokens(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        return self._echo.stream(request)

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        return self._echo.batch(requests)

    def close(self) -> None:
        self.told.append("close")


def test_an_object_that_can_sleep_is_told_to() -> None:
    backend = SleepingEcho()
    with AutoGLM(backend=backend) as engine:
        engine.sleep()
        assert engine.run("a").text == "a"
        engine.sleep()
    assert backend.told == ["sleep", "wake", "sleep", "close"]


MEMORY = """
import os, sys
from openautoglm import AutoGLM

def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

with AutoGLM(sys.argv[1], backend=sys.argv[2], max_length=4) as engine:
    text = engine.run("dog").text
    engine.sleep()
    asleep = rss()
    for _ in range(2):
        assert engine.run("dog").text == text
        awake = rss()
        engine.sleep()
    print(awake - asleep, rss() - asleep)
"""


@pytest.fixture(scope="module")
def larger_model(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Path]) -> Path:
    """A model whose weights take 48 MiB, with the tokenizer of the tiny one."""
    folder = shutil.copytree(tiny_model("llama"), tmp_path_factory.mktemp("larger") / "model")
    file = folder / "model.safetensors"
    weights = load_file(file)
    inner = 32 * 1024
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["intermediate_size"] = inner
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name, array in weights.items():
        if ".mlp." in name:
            shape = [size if size == HIDDEN else inner for size in array.shape]
            weights[name] = np.full(shape, 2.0**-16, np.float32)
    save_file(weights, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    "backend", ["native", pytest.param("transformers", marks=pytest.mark.slow)]
)
def test_sleeping_gives_the_memory_back(larger_model: Path, backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, os.fspath(larger_model), backend],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    given, kept = map(float, done.stdout.split())
    assert given > 40, done.stdout
    assert kept < 8, done.stdout


PEAK = """
import sys
from openautoglm import AutoGLM
from openautoglm.engine.backends.native.weights import matrix

matrix.PIECE_VALUES = 1 << 18  # at a time: small beside this model, as it is beside larger ones

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) / 2**10

AutoGLM(sys.argv[2], backend="native", mode=sys.argv[3]).close()  # what any first load takes
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
with AutoGLM(sys.argv[1], backend="native", mode=sys.argv[3]):
    print(status("VmHWM") - before)
"""


@pytest.mark.parametrize(("mode", "converted_mib"), [("fp32", 48), ("int8", 12)])
def test_loading_holds_the_mapped_file_and_what_it_becomes_and_no_copy_more(
    larger_model: Path, tiny_model: Callable[..., Path], mode: str, converted_mib: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, os.fspath(larger_model), os.fspath(tiny_model("llama")), mode],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    mapped_mib = (larger_model / "model.safetensors").stat().st_size / 2**20
    peak_mib = float(done.stdout)
    assert converted_mib <= peak_mib <= mapped_mib + converted_mib + 12, done.stdout
