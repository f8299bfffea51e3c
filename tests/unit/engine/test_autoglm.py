from __future__ import annotations

import asyncio
import threading
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import AutoGLM, SamplingParams
from openautoglm.engine.backend import BACKENDS, one_by_one
from openautoglm.errors import (
    EngineClosedError,
    InvalidParameterError,
    InvalidPromptError,
    MissingExtraError,
    ModelNotFoundError,
    OutputParseError,
    UnknownNameError,
)
from openautoglm.testing import EchoBackend, echo_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from pathlib import Path

    from openautoglm.engine.backend import Backend, ModelInfo, Request
    from openautoglm.engine.generation import Generation

NAME = {
    "type": "object",
    "properties": {"name": {"type": "string", "x-extractive": True}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.fixture
def engine() -> Iterator[AutoGLM]:
    with AutoGLM(backend=EchoBackend()) as engine:
        yield engine


def test_a_generation_prints_as_its_text(
    engine: AutoGLM, capsys: pytest.CaptureFixture[str]
) -> None:
    print(engine.run("你好 👋🏽"))  # noqa: T201 - printing is the point
    assert capsys.readouterr().out == "你好 👋🏽\n"


def test_a_call_overrides_the_engine_and_the_engine_the_default() -> None:
    with AutoGLM(backend=EchoBackend(), max_length=3, stop="c") as engine:
        assert engine.run("abcdef").text == "ab"
        assert engine.run("abcdef", stop="d").text == "abc"
        assert engine.run("abcdef", max_length=4, stop="z").text == "abcd"


def test_a_chat_answers_its_last_user_message(engine: AutoGLM) -> None:
    chat = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "two"},
    ]
    assert engine.run(chat).text == "two"


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        ({"max_tokens": 3}, "did you mean `max_length`?"),
        ({"temprature": 3}, "did you mean `temperature`?"),
        ({"zzz": 3}, "remove it, or check its name"),
    ],
)
def test_an_unknown_keyword_is_refused_by_every_call(
    engine: AutoGLM, call: dict[str, object], meant: str
) -> None:
    for method in (engine.run, engine.stream):
        with pytest.raises(InvalidParameterError) as caught:
            method("a", **call)  # type: ignore[arg-type] # what a caller without mypy writes
        assert caught.value.fix == meant
    with pytest.raises(InvalidParameterError):
        engine.batch(["a"], **call)  # type: ignore[arg-type] # as above
    with pytest.raises(InvalidParameterError):
        AutoGLM(backend=EchoBackend(), **call)  # type: ignore[arg-type] # as above


@pytest.mark.parametrize(
    ("option", "fix"),
    [
        ({"base_url": "http://127.0.0.1/v1"}, '"openai"'),
        ({"kernels": "auto"}, '"transformers"'),
        ({"slots": 8}, '"native"'),
        ({"schema": {}}, "run(prompt, schema=…)"),
        ({"batch_size": 0}, "batch_size=16"),
    ],
    ids=str,
)
def test_an_option_that_a_backend_does_not_have_is_refused_with_those_that_do(
    option: dict[str, object], fix: str
) -> None:
    (name,) = option
    with pytest.raises(InvalidParameterError, match=f"`{name}`") as caught:
        AutoGLM(backend="nano", **option)  # type: ignore[arg-type] # what a caller without mypy writes
    assert fix in str(caught.value.fix)


def test_half_of_a_surrogate_pair_has_no_count_of_tokens() -> None:
    with AutoGLM(backend="nano") as engine, pytest.raises(InvalidPromptError, match="surrogate"):
        engine.count_tokens("\ud800")


@pytest.mark.parametrize("model_path", [7, "", "  ", b"x", True], ids=ascii)
def test_a_model_path_that_is_no_path_is_refused(model_path: object) -> None:
    with pytest.raises(InvalidParameterError, match="model_path"):
        AutoGLM(model_path)  # type: ignore[arg-type] # what a caller without mypy writes


def test_an_unknown_backend_says_which_there_are() -> None:
    with pytest.raises(UnknownNameError, match="did you mean `transformers`"):
        AutoGLM(backend="transformer")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such model folder"):
        AutoGLM(tmp_path / "none")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/" + "a" * 5000, "the path of the model cannot be read"),
        ("~nobody-of-this-name/model", "the path of the model cannot be read"),
        ("ftp://host/model", "a URL is no model folder"),
        ("a\0b", "no such model folder"),
    ],
    ids=["too long", "nobody's home", "a URL of another kind", "a null character"],
)
def test_a_path_that_cannot_be_one_is_refused(path: str, problem: str) -> None:
    with pytest.raises(ModelNotFoundError, match=problem) as caught:
        AutoGLM(path)
    assert caught.value.fix


def test_the_echo_is_a_backend_only_inside_its_block() -> None:
    with echo_backend(["yes"]), AutoGLM(backend="echo") as engine:
        assert engine.run("?").text == "yes"
    assert "echo" not in BACKENDS.names()


def test_generate_takes_parameters_and_returns_a_list(engine: AutoGLM) -> None:
    answers = engine.generate(["abc", "de"], SamplingParams(max_length=2))
    assert [(a.text, a.finish_reason) for a in answers] == [("ab", "length"), ("de", "stop")]


def test_a_batch_reads_no_prompt_before_it_is_asked_for_an_answer(engine: AutoGLM) -> None:
    read: list[int] = []

    def prompts() -> Iterator[str]:
        for number in range(5):
            read.append(number)
            yield str(number)

    answers = engine.batch(prompts())
    assert read == []
    assert next(answers).text == "0"
    assert read == [0]
    assert [a.text for a in answers] == ["1", "2", "3", "4"]


def test_a_batch_that_raises_gives_out_the_rows_before_it_first(engine: AutoGLM) -> None:
    answers = engine.batch(["a", "b", " ", "c"])
    assert [next(answers).text, next(answers).text] == ["a", "b"]
    with pytest.raises(InvalidPromptError, match=r"prompts\[2\]: the prompt is empty"):
        next(answers)


def test_a_batch_that_keeps_errors_has_one_answer_for_each_prompt(engine: AutoGLM) -> None:
    answers = list(engine.batch([" ", "a", [], "b"], on_error="keep"))
    assert [a.finish_reason for a in answers] == ["error", "stop", "error", "stop"]
    assert isinstance(answers[0].error, InvalidPromptError)


@pytest.mark.parametrize("prompts", ["one text", {"role": "user"}, 7, None])
def test_a_batch_of_something_else_is_refused(engine: AutoGLM, prompts: object) -> None:
    with pytest.raises(InvalidParameterError, match="`prompts` must be an iterable"):
        engine.batch(prompts)  # type: ignore[arg-type] # what a caller without mypy writes


def test_a_progress_bar_goes_to_stderr_alone(
    engine: AutoGLM, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [a.text for a in engine.batch(["a", "b"], progress=True)] == ["a", "b"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2" in captured.err


def test_a_schema_gives_a_value_and_where_it_was_copied_from(engine: AutoGLM) -> None:
    generation = engine.run("Copy the name.", schema=NAME, source="Li Wei called")
    assert generation.parsed == {"name": "Li"}
    assert generation.offsets == {"/name": (0, 2)}


def test_an_answer_that_was_cut_has_no_value(engine: AutoGLM) -> None:
    generation = engine.run("ab", schema=NAME, max_length=3)
    assert (generation.finish_reason, generation.parsed) == ("length", None)


def test_an_answer_that_does_not_follow_the_schema_is_an_error() -> None:
    with AutoGLM(backend=EchoBackend(answers=["no JSON"])) as engine:
        with pytest.raises(OutputParseError):
            engine.run("a", schema=NAME)
        stream = engine.stream("a", schema=NAME)
        with pytest.raises(OutputParseError):
            list(stream)
        assert stream.generation is not None
        assert stream.generation.text == "no JSON"


def test_a_closed_engine_refuses_everything_and_closes_again(engine: AutoGLM) -> None:
    engine.close()
    engine.close()
    for call in (engine.run, engine.stream, engine.count_tokens, engine.generate):
        with pytest.raises(EngineClosedError):
            call("a")
    with pytest.raises(EngineClosedError):
        asyncio.run(engine.arun("a"))
    assert engine.model_info.model == "echo"
    assert "closed" in repr(engine)


def test_leaving_a_stream_early_keeps_what_came(engine: AutoGLM) -> None:
    with engine.stream("abcdef") as stream:
        assert list(islice(stream, 2)) == ["a", "b"]
    assert stream.generation is not None
    assert (stream.generation.text, stream.generation.finish_reason) == ("ab", "cancelled")
    assert list(stream) == []


def test_closing_the_engine_ends_a_stream_that_is_half_read(engine: AutoGLM) -> None:
    stream = engine.stream("abcdef")
    assert next(stream) == "a"
    engine.close()
    assert list(stream) == []
    assert stream.generation is not None
    assert stream.generation.finish_reason == "cancelled"


class Interrupted:
    """A backend in which Ctrl-C is pressed after the second piece."""

    def __init__(self) -> None:
        self._echo = EchoBackend()

    def describe(self) -> ModelInfo:
        return self._echo.describe()

    def count_tokens(self, text: str) -> int:
        return self._echo.count_tokens(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        yield from islice(self._echo.stream(request), 2)
        raise KeyboardInterrupt

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        return one_by_one(self, requests)

    def close(self) -> None:
        self._echo.close()


def test_ctrl_c_goes_through_and_a_stream_keeps_its_pieces() -> None:
    backend: Backend = Interrupted()
    engine = AutoGLM(backend=backend)
    with pytest.raises(KeyboardInterrupt):
        engine.run("abcdef")
    with pytest.raises(KeyboardInterrupt):
        list(engine.batch(["abcdef"], on_error="keep"))
    stream = engine.stream("abcdef")
    with pytest.raises(KeyboardInterrupt):
        list(stream)
    assert stream.generation is not None
    assert (stream.generation.text, stream.generation.finish_reason) == ("ab", "cancelled")


def test_the_asynchronous_calls_give_what_the_others_give(engine: AutoGLM) -> None:
    async def ask() -> tuple[str, list[str], list[str], list[Generation]]:
        one = await engine.arun("abc", max_length=2)
        pieces = [piece async for piece in engine.astream("abc")]
        many = [answer.text async for answer in engine.abatch(["a", "b"])]
        both = await asyncio.gather(engine.arun("x"), engine.arun("y"))
        return one.text, pieces, many, list(both)

    text, pieces, many, both = asyncio.run(ask())
    assert (text, pieces, many) == ("ab", ["a", "b", "c"], ["a", "b"])
    assert [g.text for g in both] == ["x", "y"]


def test_errors_reach_the_one_who_awaits(engine: AutoGLM) -> None:
    async def read(pieces: AsyncIterator[str]) -> list[str]:
        return [piece async for piece in pieces]

    with pytest.raises(InvalidPromptError):
        asyncio.run(engine.arun(" "))
    with pytest.raises(InvalidPromptError):
        asyncio.run(read(engine.astream(" ")))


class Endless:
    """A backend that says "a" until it is told to stop."""

    def __init__(self) -> None:
        self._echo = EchoBackend()
        self.started = threading.Event()
        self.ended = threading.Event()

    def describe(self) -> ModelInfo:
        return self._echo.describe()

    def count_tokens(self, text: str) -> int:
        return self._echo.count_tokens(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        for piece in repeat("a"):
            self.started.set()
            if request.cancel.wait(0.001):
                break
            yield piece
        self.ended.set()
        yield from self._echo.stream(request)

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        return one_by_one(self, requests)

    def close(self) -> None:
        self._echo.close()


def test_cancelling_a_task_stops_the_generation() -> None:
    backend = Endless()

    async def cancel_soon(engine: AutoGLM) -> None:
        task = asyncio.create_task(engine.arun("abc"))
        await asyncio.to_thread(backend.started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with AutoGLM(backend=backend) as engine:
        asyncio.run(cancel_soon(engine))
        assert backend.ended.wait(30)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"openautoglm\[openai\]"):
        AutoGLM("http://127.0.0.1:9/v1")


def test_arguments_of_a_wrong_type_are_refused_by_name(engine: AutoGLM) -> None:
    wrong: Any = 7
    calls: dict[str, Callable[[], object]] = {
        "source": lambda: engine.run("a", source=wrong),
        "text": lambda: engine.count_tokens(wrong),
        "params": lambda: engine.generate(["a"], wrong),
        "schema": lambda: list(engine.batch(["a"], schema=wrong)),
        "on_error": lambda: engine.batch(["a"], on_error=wrong),
        "backend": lambda: AutoGLM(backend=wrong),
    }
    for name, call in calls.items():
        with pytest.raises(InvalidParameterError, match=f"`{name}` must be") as caught:
            call()
        assert caught.value.fix
