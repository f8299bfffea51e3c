"""Rows that come back as they complete."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import AutoGLM, Row
from openautoglm.errors import EngineClosedError, InvalidParameterError, InvalidPromptError
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def engine() -> Iterator[AutoGLM]:
    with AutoGLM(backend=EchoBackend(), max_length=32) as made:
        yield made


def test_each_row_comes_back_with_its_id_or_its_number(engine: AutoGLM) -> None:
    rows: list[Row | str] = [
        Row(id=("a", 1), prompt="one"),
        "two",
        Row(prompt="three"),
        Row(id=0, prompt="four"),
    ]
    answers = list(engine.stream_batch(rows))
    assert {name for name, _ in answers} == {("a", 1), 1, 2, 0}
    assert {answer.text for _, answer in answers} == {
        engine.run(t).text for t in ("one", "two", "three", "four")
    }


def test_each_row_has_parameters_and_a_schema_of_its_own(engine: AutoGLM) -> None:
    rows = [
        Row(id="short", prompt="one two three four five six seven", params={"max_length": 1}),
        Row(id="typed", prompt="x", schema={"enum": ["yes", "no"]}),
        Row(id="plain", prompt="x"),
    ]
    answers: dict[object, Any] = dict(engine.stream_batch(rows))
    assert answers["short"].finish_reason == "length"
    assert answers["typed"].parsed in {"yes", "no"}
    assert answers["plain"].parsed is None


def test_a_row_that_cannot_be_asked_is_an_answer_and_the_others_go_on(engine: AutoGLM) -> None:
    rows: list[Any] = [
        Row(id="hot", prompt="x", params={"temperature": -1}),
        Row(id="odd", prompt="x", params={"temprature": 1}),
        Row(id="many", prompt="x", params={"n": 2}),
        Row(id="schema", prompt="x", schema={"type": "nothing"}),
        Row(id="source", prompt="x", source=3),  # type: ignore[arg-type] # on purpose
        7,
        Row(id="good", prompt="x"),
    ]
    answers = dict(engine.stream_batch(rows))
    assert {name for name, answer in answers.items() if answer.error is None} == {"good"}
    assert isinstance(answers["hot"].error, InvalidParameterError)
    assert "temperature" in str(answers["odd"].error)
    assert isinstance(answers[5].error, InvalidPromptError)


def test_rows_are_read_as_there_is_room_also_where_all_are_bad(engine: AutoGLM) -> None:
    read = 0

    def endless() -> Iterator[Row]:
        nonlocal read
        for read in count(1):
            yield Row(prompt="x", params={"temperature": -1} if read % 3 else {})

    assert len(list(islice(engine.stream_batch(endless()), 200))) == 200
    assert read <= 300


def test_what_is_no_rows_is_refused(engine: AutoGLM) -> None:
    wrong: Any
    for wrong in ("one", b"one", Row(prompt="one"), {"prompt": "one"}, 3, None):
        with pytest.raises(InvalidParameterError, match="iterable of rows"):
            engine.stream_batch(wrong)
    engine.close()
    with pytest.raises(EngineClosedError):
        engine.stream_batch(["one"])


def test_native_gives_rows_out_as_they_complete(tiny_model: Callable[..., Path]) -> None:
    rows = [
        Row(id="long", prompt="the quick", params={"max_length": 40}),
        Row(id="bad", prompt="dog " * 500),
        Row(id="short", prompt="fox", params={"max_length": 1}),
        Row(id="same", prompt="fox", params={"max_length": 1}),
    ]
    with AutoGLM(tiny_model(), backend="native", max_length=8) as engine:
        answers = list(engine.stream_batch(rows))
        alone = engine.run("fox", max_length=1).text
    order = [name for name, _ in answers]
    assert order.index("short") < order.index("long")
    found = dict(answers)
    assert found["short"].text == found["same"].text == alone
    assert found["bad"].finish_reason == "error"
