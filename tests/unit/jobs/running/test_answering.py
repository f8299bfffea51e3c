"""What becomes of a row: its row for the sink, or an error that says what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, final

import pytest

from openautoglm.data import Record, Shard
from openautoglm.errors import BadRowError
from openautoglm.jobs.ledger.records import Claim, RowOutcome
from openautoglm.jobs.running.answering import Answering
from openautoglm.jobs.running.cache import AnswerCache
from openautoglm.jobs.running.open_shard import OpenShard, Task
from openautoglm.jobs.running.tries import Lot, Parked, Trouble
from openautoglm.jobs.spec import JobSpec
from openautoglm.jobs.work import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CLAIM: Final = Claim(
    job="j",
    shard=Shard(index=0),
    only=None,
    owner="me",
    attempt=3,
    crashes=2,
    handed=0,
    suspects={0: 2},
)


@final
class Fake:
    """Work that is a function of the test."""

    def __init__(self, function: Callable[[Any], Any], inputs: tuple[str, ...]) -> None:
        self._function, self._inputs = function, inputs

    def inputs(self) -> tuple[str, ...]:
        return self._inputs

    def fingerprint(self) -> Mapping[str, str]:
        return {}

    def answer(self, values: Mapping[str, object]) -> Answer:
        return Answer(outputs=self._function(values), tokens=5)

    def close(self) -> None:
        pass


def answered(
    function: Callable[[Any], Any],
    values: Mapping[str, object],
    *,
    inputs: tuple[str, ...] = (),
    lot: Lot = "usual",
    error: BadRowError | None = None,
    cache: AnswerCache | None = None,
    **spec: Any,  # noqa: ANN401 - of a job
) -> RowOutcome | object:
    answering = Answering(JobSpec(source="s", sink="t", **spec), Fake(function, inputs), cache)
    shard = OpenShard(CLAIM, lambda _: iter(()), frozenset(), window=1)
    record = Record(key="file:1", position="1", values=values, error=error)
    return answering.answer(Task(shard, 0, record, lot))


def failure(
    function: Callable[[Any], Any],
    values: Mapping[str, object],
    **options: Any,  # noqa: ANN401 - of `answered`
) -> dict[str, str]:
    outcome = answered(function, values, **options)
    assert isinstance(outcome, RowOutcome)
    assert outcome.outcome == "failed"
    error: dict[str, str] = json.loads(outcome.payload)
    return error


def test_an_answer_becomes_a_row_with_its_tokens() -> None:
    outcome = answered(lambda v: {"out": v["text"]}, {"text": "a", "id": 4}, id_column="id")
    assert isinstance(outcome, RowOutcome)
    assert (outcome.outcome, outcome.key, outcome.tokens, outcome.tries) == ("ok", "4", 5, 1)
    assert json.loads(outcome.payload) == {"id": 4, "out": "a"}


def test_columns_are_mapped_to_inputs_and_stay_there_under_their_own_names() -> None:
    outcome = answered(
        lambda v: {"seen": sorted(v)}, {"body": "a"}, columns={"text": "body"}, inputs=("text",)
    )
    assert isinstance(outcome, RowOutcome)
    assert json.loads(outcome.payload)["seen"] == ["body", "text"]


def test_a_row_without_a_column_that_is_needed_fails_and_names_it() -> None:
    error = failure(lambda _: {}, {"txet": "a"}, inputs=("text",))
    assert error["code"] == "OAG507"
    assert "file:1: the row has no `text`" in error["problem"]
    assert "txet" in error["got"]


def test_a_mapped_column_that_is_missing_is_named_as_it_is_called_in_the_source() -> None:
    error = failure(lambda _: {}, {"x": 1}, inputs=("text",), columns={"text": "body"})
    assert "`body`" in error["problem"]


@pytest.mark.parametrize("values", [{"x": 1}, {"id": None}])
def test_a_row_without_its_id_fails(values: Mapping[str, object]) -> None:
    assert "`id`" in failure(lambda _: {}, values, id_column="id")["problem"]


def test_a_row_that_is_too_long_fails_and_the_limit_is_named() -> None:
    error = failure(lambda _: {}, {"text": "a" * 100}, max_row_bytes=50)
    assert error["code"] == "OAG507"
    assert "50" in error["got"]


def test_a_row_that_could_not_be_read_fails_with_that_reason() -> None:
    error = failure(lambda _: {}, {}, error=BadRowError("file:1: the line is not JSON"))
    assert error["problem"] == "file:1: the line is not JSON"


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"x": object()}, "outputs.x"),
        ({"x": [1, {"y": {1, 2}}]}, "outputs.x[1].y"),
        ({"x": b"bytes"}, "outputs.x"),
        ({"x": float("nan")}, "outputs.x"),
        ({"x": {1: "a"}}, "outputs.x"),
        ({"x": "\ud800"}, "cannot be written"),
        ([1], "no mapping"),
    ],
)
def test_outputs_that_are_not_what_json_holds_fail_their_row_and_name_the_place(
    outputs: object, said: str
) -> None:
    error = failure(lambda _: outputs, {"a": 1})
    assert error["code"] == "OAG403"
    assert said in error["problem"]


def test_an_output_called_like_a_column_of_the_sink_fails_its_row() -> None:
    error = failure(lambda _: {"lang": "x"}, {"lang": "de"}, keep=("lang",))
    assert "lang" in error["got"]
    error = failure(lambda _: {"key": "x"}, {"lang": "de"})
    assert "key" in error["got"]


def test_an_error_that_may_pass_is_trouble_and_no_outcome() -> None:
    def fail(_: object) -> None:
        raise TimeoutError

    assert isinstance(answered(fail, {}), Trouble)


def test_a_row_that_killed_its_workers_is_not_run_again() -> None:
    def never(_: object) -> None:
        raise AssertionError

    assert failure(never, {"a": 1}, lot="out")["code"] == "OAG808"


def test_an_error_whose_words_cannot_be_had_is_told_all_the_same() -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fail(_: object) -> None:
        raise SilentError

    assert failure(fail, {})["code"] == "SilentError"


def test_a_row_that_is_worked_on_alone_does_not_wait_for_its_like(tmp_path: Path) -> None:
    with AnswerCache(tmp_path / "answers.db", {}, None, lambda _: None) as cache:
        assert cache.take(cache.key({"a": 1})) is None
        usual = answered(lambda _: {}, {"a": 1}, cache=cache)
        assert isinstance(usual, Parked)
        for lot in ("alone", "last"):
            alone = answered(lambda _: {"out": 1}, {"a": 1}, cache=cache, lot=lot)
            assert isinstance(alone, RowOutcome)
