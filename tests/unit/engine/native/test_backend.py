"""The native backend: many callers at once, one model, and the memory given back."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM, SamplingParams
from openautoglm.engine.backend import BACKENDS, LoadSpec, ModelInfo, Request
from openautoglm.engine.backends.native.backend import NativeBackend
from openautoglm.engine.backends.native.scheduling.scheduler import Rules
from openautoglm.engine.backends.native.text.tokens import Tokens
from openautoglm.engine.generation import Generation
from openautoglm.engine.model_folder import inspect
from openautoglm.engine.structured import compile_schema
from openautoglm.errors import (
    BackendRequestError,
    EngineClosedError,
    InvalidPromptError,
)
from openautoglm.testing.toy_decoder import ToyModel, ToySampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openautoglm.engine.backend import Backend

PROMPTS = ["the quick", "请根据以下内容", "a", "emoji 👋🏽 and accents " * 2, "dog " * 9, "fox"]
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["billing", "delivery"]}, "urgent": {"type": "boolean"}},
    "required": ["label", "urgent"],
    "additionalProperties": False,
}


class ClosingModel(ToyModel):  # type: ignore[misc] # final, but a test may add what it lacks
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def toy(folder: Path, **changes: object) -> tuple[NativeBackend, ClosingModel]:
    """Return a backend over a model that computes nothing, with the folder's tokenizer."""
    given: dict[str, object] = {"slots": 4, "context": 128, "vocabulary": 320} | changes
    model = ClosingModel(**given)  # type: ignore[arg-type] # a table of names
    info = ModelInfo(backend="native", model="toy", context_length=128, concurrency=2)
    rules = Rules(guesses=False)  # tests count the tokens that the model sees
    return NativeBackend(model, ToySampler(), Tokens(inspect(folder)), info, rules=rules), model


@pytest.fixture
def backend(tiny_model: Callable[..., Path]) -> Iterator[Backend]:
    made = load(tiny_model())
    yield made
    made.close()


def load(folder: Path, **options: object) -> Backend:
    return BACKENDS.get("native").load(LoadSpec(model=os.fspath(folder), options=options))


def request(prompt: str = "dog", **params: object) -> Request:
    values: dict[str, object] = {"max_length": 12} | params
    return Request(prompt=prompt, params=SamplingParams(**values))  # type: ignore[arg-type] # a table of names


def run(backend: Backend, prompt: str = "dog", **params: object) -> Generation:
    *_, last = backend.stream(request(prompt, **params))
    assert isinstance(last, Generation)
    return last


@pytest.mark.parametrize("family", ["qwen2", "llama", "glm"])
def test_its_answers_are_those_of_the_transformers_backend(
    tiny_model: Callable[..., Path], family: str
) -> None:
    folder = tiny_model(family)
    with (
        AutoGLM(folder, backend="native", max_length=24, slots=3) as ours,
        AutoGLM(folder, backend="transformers", max_length=24) as theirs,
    ):
        for one, other in zip(ours.batch(PROMPTS), theirs.batch(PROMPTS), strict=True):
            assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
            assert one.prompt_tokens == other.prompt_tokens
            assert one.completion_tokens == other.completion_tokens
        assert ours.count_tokens("the fox <|end|>") == theirs.count_tokens("the fox <|end|>")
        assert ours.model_info.parameters == theirs.model_info.parameters
        assert ours.model_info.context_length == theirs.model_info.context_length


def test_streams_and_batches_of_many_threads_are_each_as_if_alone(backend: Backend) -> None:
    alone = {prompt: run(backend, prompt).text for prompt in PROMPTS}

    def batch(_: int) -> list[str]:
        answers = dict(backend.batch([request(prompt) for prompt in PROMPTS]))
        return [answers[i].text for i in range(len(PROMPTS))]

    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(run, backend, prompt) for prompt in PROMPTS * 4]
        batches = pool.map(batch, range(4))
        assert [s.result().text for s in streams] == [alone[p] for p in PROMPTS * 4]
        assert all(texts == list(alone.values()) for texts in batches)


def test_rows_of_a_batch_come_as_they_complete(backend: Backend) -> None:
    rows = [request("dog", max_length=100), request("fox", max_length=1)]
    assert next(position for position, _ in backend.batch(rows)) == 1


def test_a_batch_reads_no_more_than_a_window_ahead(tiny_model: Callable[..., Path]) -> None:
    backend, _ = toy(tiny_model())
    read = 0

    def endless() -> Iterator[Request]:
        nonlocal read
        for one in repeat(request(max_length=2)):
            read += 1
            yield one

    answers = backend.batch(endless())
    assert len(list(islice(answers, 50))) == 50
    assert read <= 50 + 2 * 4 + 1
    answers.close()  # type: ignore[attr-defined] # a generator
    assert run(backend).finish_reason == "length"
    backend.close()


def test_one_slow_row_does_not_let_answers_pile_up_without_end() -> None:
    from openautoglm.engine.backends.native.batch import Window

    read: list[int] = []
    tells: dict[int, Callable[[str | Generation], None]] = {}

    class Row:
        def abandon(self) -> None:
            pass

    def begin(asked: Request, tell: Callable[[str | Generation], None]) -> Row:
        number = len(read)
        read.append(number)
        tells[number] = tell
        if number:
            tell(Generation(text=str(asked.prompt), finish_reason="stop"))
        return Row()

    window = Window(repeat(request()), size=lambda _: 2, begin=begin, model="m")
    answers = window.answers()
    given = [position for position, _ in islice(answers, 62)]
    assert 0 not in given
    threading.Timer(0, lambda: tells[0](Generation(text="", finish_reason="stop"))).start()
    assert next(position for position, _ in answers) in {0, 63}
    assert len(read) <= 66


def test_a_cancel_ends_a_row_at_its_next_token(tiny_model: Callable[..., Path]) -> None:
    started, go_on = threading.Event(), threading.Event()

    def wait(seen: tuple[int, ...]) -> bool:
        if len(seen) == 40:
            started.set()
            go_on.wait(30)
        return False

    backend, model = toy(tiny_model(), fault=wait)
    asked = request("dog", max_length=100)
    stream = backend.stream(asked)
    pieces: list[str | Generation] = []
    reader = threading.Thread(target=lambda: pieces.extend(stream))
    reader.start()
    assert started.wait(30)
    asked.cancel.set()
    go_on.set()
    reader.join(30)
    last = pieces[-1]
    assert isinstance(last, Generation)
    assert last.finish_reason == "cancelled"
    assert last.text == "".join(p for p in pieces if isinstance(p, str))
    assert last.prompt_tokens + last.completion_tokens <= 42
    backend.close()
    assert model.is_closed


def test_a_stream_that_nobody_reads_on_stops_being_computed(
    tiny_model: Callable[..., Path],
) -> None:
    started, go_on = threading.Event(), threading.Event()
    lengths: list[int] = []

    def wait(seen: tuple[int, ...]) -> bool:
        lengths.append(len(seen))
        if len(seen) == 40:
            started.set()
            go_on.wait(30)
        return False

    backend, _ = toy(tiny_model(), fault=wait)
    stream = backend.stream(request(max_length=100))
    next(stream)
    assert started.wait(30)
    stream.close()  # type: ignore[attr-defined] # a generator
    go_on.set()
    run(backend, "fox", max_length=2)
    assert max(lengths) <= 41
    backend.close()
    with pytest.raises(EngineClosedError):
        run(backend)


def test_a_bad_row_is_an_error_and_the_others_go_on(backend: Backend) -> None:
    rows = [request("dog"), request("dog " * 300), request("fox")]
    answers = dict(backend.batch(rows))
    assert isinstance(answers[1].error, InvalidPromptError)
    assert "128" in str(answers[1].error)
    assert answers[0].text == run(backend, "dog").text
    assert answers[2].text == run(backend, "fox").text


def test_a_step_that_breaks_fails_its_rows_and_the_next_ones_are_served(
    tiny_model: Callable[..., Path],
) -> None:
    broken = threading.Event()
    broken.set()

    def fault(_: tuple[int, ...]) -> bool:
        if broken.is_set():
            raise RuntimeError("a kernel failed")
        return False

    backend, _ = toy(tiny_model(), fault=fault)
    with pytest.raises(BackendRequestError, match="a kernel failed"):
        run(backend)
    answers = dict(backend.batch([request("dog"), request("fox")]))
    assert {a.finish_reason for a in answers.values()} == {"error"}
    broken.clear()
    assert run(backend).finish_reason == "length"
    backend.close()


def test_closing_ends_what_is_under_way(tiny_model: Callable[..., Path]) -> None:
    started = threading.Event()

    def fault(_: tuple[int, ...]) -> bool:
        started.set()
        return False

    backend, _ = toy(tiny_model(), fault=fault)
    stream = backend.stream(request(max_length=100))
    next(stream)
    assert started.wait(30)
    backend.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    assert not [t for t in threading.enumerate() if t.name == "openautoglm-native"]


def test_a_backend_that_is_let_go_of_ends_its_thread(tiny_model: Callable[..., Path]) -> None:
    import gc

    backend, model = toy(tiny_model())
    run(backend)
    del backend
    gc.collect()
    assert model.is_closed


def test_each_row_follows_its_own_schema(backend: Backend) -> None:
    import jsonschema

    grammar = compile_schema(SCHEMA)
    other = compile_schema({"const": True})
    kinds = [grammar, None, other, grammar]
    rows = [
        Request(
            prompt=prompt,
            params=SamplingParams(max_length=60),
            schema=None if kind is None else kind.schema,
            grammar=kind,
        )
        for prompt, kind in zip(PROMPTS, kinds, strict=False)
    ]
    answers = dict(backend.batch(rows))
    for position in (0, 3):
        assert answers[position].finish_reason == "stop"
        jsonschema.validate(json.loads(answers[position].text), SCHEMA)
    assert answers[2].text == "true"
    assert answers[1].text == run(backend, PROMPTS[1], max_length=60).text


def test_each_token_says_how_likely_it_was_where_that_is_asked_for(backend: Backend) -> None:
    answer = run(backend, logprobs=2)
    assert len(answer.logprobs) == answer.completion_tokens
    assert answer.text == run(backend).text
    for one in answer.logprobs:
        assert (one.token, one.logprob) == one.top[0]  # greedy
        assert one.top[1][1] <= one.logprob <= 0
    grammar = compile_schema({"const": True})
    asked = Request(prompt="dog", params=SamplingParams(logprobs=0), grammar=grammar)
    *_, forced = backend.stream(asked)
    assert isinstance(forced, Generation)
    assert "".join(one.token for one in forced.logprobs) == "true"


def test_chance_follows_the_seed_of_each_row_alone(backend: Backend) -> None:
    alone = run(backend, temperature=1.5, seed=3).text
    rows = [request(p, temperature=1.5, seed=n) for n, p in enumerate([*PROMPTS[:3], "dog"])]
    assert dict(backend.batch(rows))[3].text == alone
    assert len({run(backend, temperature=1.5).text for _ in range(5)}) > 1


def test_two_backends_live_side_by_side(tiny_model: Callable[..., Path]) -> None:
    first, second = load(tiny_model("qwen2")), load(tiny_model("llama"), mode="int8")
    before = run(second).text
    stream = first.stream(request())
    next(stream)
    first.close()
    assert run(second).text == before
    second.close()
