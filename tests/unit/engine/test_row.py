"""Rows that come back as they complete."""

from __future__ import annotations

import asyncio
from itertools import count, islice, repeat
from typing import TYPE_CHECKING, Any, Literal

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
        Row(id="list", prompt="x", params=["temperature"]),  # type: ignore[arg-type] # on purpose
        Row(id="schema", prompt="x", schema={"type": "nothing"}),
        Row(id="source", prompt="x", source=3),  # type: ignore[arg-type] # on purpose
        7,
        Row(id="good", prompt="x"),
    ]
    answers = dict(engine.stream_batch(rows))
    assert {name for name, answer in answers.items() if answer.error is None} == {"good"}
    assert isinstance(answers["hot"].error, InvalidParameterError)
    assert "temperature" in str(answers["odd"].error)
    assert "`params` of a row" in str(answers["list"].error)
    assert isinstance(answers[5].error, InvalidPromptError)


def test_a_row_has_as_many_answers_as_it_asks_for() -> None:
    sampled = {"temperature": 1.5, "seed": 7, "max_length": 6}
    rows = [
        Row(id=i, prompt=f"Say {i}", params={**sampled, "n": i}, schema=schema)
        for i, schema in enumerate((None, {"type": "boolean"}, None), start=1)
    ]
    with AutoGLM(backend="nano") as engine:
        answers = dict(engine.stream_batch([*rows, Row(id=0, prompt="x", params={"n": 0})]))
        alone = [engine.run(row.prompt, **row.params, schema=row.schema) for row in rows]  # type: ignore[arg-type] # names of parameters
    assert [1 + len(answers[row.id].others) for row in rows] == [1, 2, 3]
    for row, one in zip(rows, alone, strict=True):
        texts = [g.text for g in (answers[row.id], *answers[row.id].others)]
        assert texts == [g.text for g in (one, *one.others)]
    assert all(isinstance(g.parsed, bool) for g in (answers[2], *answers[2].others))
    assert "`n` must be" in str(answers[0].error)


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
        Row(id="long", prompt="the quick", params={"max_length": 100}),
        Row(id="bad", prompt="dog " * 150),
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


HOSTILE: tuple[dict[str, object], ...] = (
    {"params": 5},
    {"params": {1: 2}},
    {"params": {"stop": [1]}},
    {"schema": 7},
    {"source": b"x"},
    {"prompt": object()},
    {"prompt": None},
    {"prompt": [{"role": "user", "content": 5}]},
)


@pytest.mark.parametrize("order", ["given", "free"])
def test_rows_that_cannot_be_read_are_errors_among_the_others(
    order: Literal["given", "free"],
) -> None:
    made: Any = Row  # what a caller without mypy writes
    bad = [made(id=str(fields), **{"prompt": "x", **fields}) for fields in HOSTILE]
    rows = [row for pair in zip(bad, [Row(prompt="good")] * len(bad), strict=True) for row in pair]
    with AutoGLM(backend=EchoBackend()) as engine:
        answers = list(engine.stream_batch(iter(rows), order=order))
        kept = list(engine.batch([row.prompt for row in rows], on_error="keep", order=order))
    assert len(answers) == len(kept) == len(rows)
    assert [a.text for name, a in answers if isinstance(name, int)] == ["good"] * len(bad)
    for name, answer in answers:
        if isinstance(name, str):
            assert (name, answer.finish_reason) == (name, "error")
            assert answer.error is not None
            assert answer.error.fix


def test_an_order_that_is_none_is_refused_at_once() -> None:
    with AutoGLM(backend=EchoBackend()) as engine:
        calls: tuple[Any, ...] = (engine.batch, engine.stream_batch)
        for call in calls:
            with pytest.raises(InvalidParameterError, match="`order`"):
                call(["a"], order="longest")


def test_closing_the_engine_ends_a_batch_that_never_ends() -> None:
    engine = AutoGLM(backend=EchoBackend())
    rows = engine.stream_batch(repeat("a"))
    next(rows)
    engine.close()
    with pytest.raises(EngineClosedError):
        list(islice(rows, 1_000))


def test_the_asynchronous_face_gives_the_same_rows() -> None:
    rows = [Row(id=name, prompt=name * 3, params={"max_length": 2}) for name in "abc"]

    async def answered(engine: AutoGLM) -> list[tuple[object, str]]:
        found = engine.astream_batch([*rows, Row(id="bad", prompt="")])
        return [(name, answer.text) async for name, answer in found]

    with AutoGLM(backend=EchoBackend()) as engine:
        answers = engine.stream_batch([*rows, Row(id="bad", prompt="")])
        expected = [(name, answer.text) for name, answer in answers]
        assert asyncio.run(answered(engine)) == expected
        assert expected == [("a", "aa"), ("b", "bb"), ("c", "cc"), ("bad", "")]
