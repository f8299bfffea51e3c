"""How records go through a pipeline."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.engine.generation import Generation
from openautoglm.errors import InvalidPromptError, PipelineGraphError, StepError
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.result import Record
from openautoglm.pipeline.spec import Offsets
from openautoglm.pipeline.step import Step, StepContext
from openautoglm.pipeline.steps.generate import Generate
from openautoglm.platform_io.memory import MemoryIO

if TYPE_CHECKING:
    from openautoglm.pipeline.result import PipelineResult

Outputs: TypeAlias = Mapping[str, object]


class Upper(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "the text in capitals"}

    def run(self, *, text: str) -> Mapping[str, object]:
        if text == "bad":
            raise ValueError("cannot shout this")
        return {"text": text.upper()}


class Fork(Step, frozen=True):
    """Texts that start with a digit go right."""

    exclusive: ClassVar[tuple[str, ...]] = ("left", "right")
    outputs: ClassVar[Mapping[str, str]] = {"left": "", "right": ""}

    def run(self, *, text: str) -> Mapping[str, object]:
        return {"right" if text[:1].isdigit() else "left": text}


Returned: TypeAlias = dict[str, int] | None


class Returns(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"a": "", "b": ""}
    exclusive: ClassVar[tuple[str, ...]] = ("a", "b")
    answer: Returned = None

    def run(self, *, text: str) -> Outputs:
        del text
        return cast("Outputs", self.answer)


class Spans(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"spans": "offsets"}

    def run(self, *, text: str) -> Mapping[str, object]:
        return {"spans": {"/word": (0, len(text))}}


class Who(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"name": "of the record"}

    def run(self, *, text: str, context: StepContext) -> Mapping[str, object]:
        return {"name": f"{context.source}:{context.count_tokens(text)}"}


class LosesOne(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": ""}

    def run(self, *, text: str) -> Mapping[str, object]:
        return {"text": text}

    def run_batch(
        self, calls: Sequence[Mapping[str, object]], *, context: StepContext
    ) -> Sequence[Mapping[str, object] | Exception]:
        del context
        return [self.run(text=str(call["text"])) for call in calls][1:]


class EchoEngine:
    """Says back each prompt, notes how many came at once, and fails on "fail"."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.stop_at: str | None = None

    def run(self, prompt: object, **options: object) -> Generation:
        return next(iter(self.batch([prompt], **options)))

    def batch(self, prompts: Iterable[object], **options: object) -> Iterator[Generation]:
        del options
        prompts = list(prompts)
        self.batches.append(len(prompts))
        for prompt in prompts:
            if prompt == self.stop_at:
                raise KeyboardInterrupt
            if prompt == "fail":
                error = InvalidPromptError("a bad prompt", got=prompt, fix="ask something else")
                yield Generation(text="", finish_reason="error", error=error)
            else:
                yield Generation(text=str(prompt), finish_reason="stop")

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def line(*steps: tuple[str, Step, str, str]) -> Pipeline:
    """Connect steps (name, step, input, output) one behind the other."""
    pairs = itertools.pairwise(steps)
    return Pipeline(
        name="t",
        components={name: step for name, step, _, _ in steps},
        connections=[(f"{a[0]}.{a[3]}", f"{b[0]}.{b[2]}") for a, b in pairs],
        inputs={"text": f"{steps[0][0]}.{steps[0][2]}"},
        outputs={"result": f"{steps[-1][0]}.{steps[-1][3]}"},
    )


def shout() -> Pipeline:
    return line(("up", Upper(), "text", "text"))


def ask() -> Pipeline:
    return line(("up", Upper(), "text", "text"), ("ask", Generate(), "prompt", "text"))


def results(found: Iterator[PipelineResult]) -> list[object]:
    return [r.outputs.get("result") if r.error is None else r.error for r in found]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "bad", "1", ""]), max_size=20), st.integers(1, 5))
def test_a_record_that_fails_leaves_the_others_alone(texts: list[str], window: int) -> None:
    found = list(ask().stream(texts, engine=EchoEngine(), on_error="return", window=window))
    assert [r.index for r in found] == list(range(len(texts)))
    assert [r.error is not None for r in found] == [text == "bad" for text in texts]
    assert [r.outputs.get("result") for r in found if r.error is None] == [
        text.upper() for text in texts if text != "bad"
    ]


def test_a_failing_step_names_pipeline_step_and_record() -> None:
    with pytest.raises(StepError) as caught:
        shout().run(text="bad", source="a.txt")
    assert caught.value.problem == "pipeline `t`, step `up`, a.txt: ValueError: cannot shout this"
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_models_own_error_keeps_its_got_and_fix() -> None:
    pipeline = line(("ask", Generate(), "prompt", "text"))
    with pytest.raises(StepError, match="record 1: a bad prompt") as caught:
        list(pipeline.stream(["a", "fail"], engine=EchoEngine()))
    assert (caught.value.got, caught.value.fix) == ("fail", "ask something else")


def test_raising_gives_out_the_results_before_the_failure_first() -> None:
    found = shout().stream(["a", "b", "bad", "c"])
    assert [next(found).outputs["result"], next(found).outputs["result"]] == ["A", "B"]
    with pytest.raises(StepError, match="record 2"):
        next(found)


def test_records_are_read_as_results_are_taken() -> None:
    read: list[int] = []

    def endless() -> Iterator[str]:
        for n in itertools.count():
            read.append(n)
            yield str(n)

    found = ask().stream(endless(), engine=EchoEngine(), window=4)
    assert [r.outputs["result"] for r in itertools.islice(found, 6)] == list("012345")
    assert len(read) <= 9


def test_calls_of_several_records_reach_the_engine_together() -> None:
    engine = EchoEngine()
    list(ask().stream(["a"] * 10, engine=engine, window=4))
    assert engine.batches == [4, 4, 2]


def test_long_records_close_a_window_early() -> None:
    engine = EchoEngine()
    texts = ["x" * 3_000_000] * 4
    found = line(("ask", Generate(), "prompt", "text")).stream(texts, engine=engine)
    assert sum(1 for _ in found) == 4
    assert engine.batches == [2, 2]


def test_a_step_whose_branch_was_not_taken_is_skipped() -> None:
    pipeline = Pipeline(
        name="t",
        components={"fork": Fork(), "up": Upper(), "ask": Generate()},
        connections=[("fork.left", "up.text"), ("up.text", "ask.prompt")],
        inputs={"text": "fork.text"},
        outputs={"left": "ask.text", "right": "fork.right"},
    )
    left, right = pipeline.stream(["a", "1"], engine=EchoEngine())
    assert (left.outputs, right.outputs) == ({"left": "A"}, {"right": "1"})
    assert set(right.timings_s) == {"fork"}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "must return a mapping"),
        ({"c": 1}, "filled `c`, which it does not declare"),
        ({"a": 1, "b": 2}, "two values arrived at `text`"),
    ],
)
def test_a_step_that_breaks_its_word_fails_the_record(answer: Returned, problem: str) -> None:
    pipeline = Pipeline(
        name="t",
        components={"r": Returns(answer=answer), "up": Upper()},
        connections=[("r.a", "up.text"), ("r.b", "up.text")],
        inputs={"text": "r.text"},
        outputs={"result": "up.text"},
    )
    with pytest.raises(StepError, match=problem):
        pipeline.run(text="x")


def test_a_batching_step_that_loses_an_answer_fails_its_records() -> None:
    found = line(("lose", LosesOne(), "text", "text")).stream(["a", "b"], on_error="return")
    assert all("one answer for each call" in str(r.error) for r in found)


def test_a_step_that_needs_a_model_says_so_when_there_is_none() -> None:
    with pytest.raises(StepError, match="started without one") as caught:
        ask().run(text="a")
    assert isinstance(caught.value.__cause__, PipelineGraphError)


def test_steps_are_told_the_name_of_the_record_and_count_tokens() -> None:
    pipeline = line(("who", Who(), "text", "name"))
    first = Record(inputs={"text": "a b"}, source="x.txt")
    found = pipeline.stream([first, {"text": "c"}, "d e f"], engine=EchoEngine())
    assert results(found) == ["x.txt:2", "record 1:1", "record 2:3"]


def test_steps_may_use_the_platform_that_was_passed_or_this_machines() -> None:
    class Reads(Step, frozen=True):
        outputs: ClassVar[Mapping[str, str]] = {"home": ""}

        def run(self, *, text: str, context: StepContext) -> Mapping[str, object]:
            return {"home": context.platform_io.get_env(text)}

    pipeline = line(("reads", Reads(), "text", "home"))
    given = MemoryIO(env={"NAME": "here"})
    assert pipeline.run(text="NAME", platform_io=given).outputs["result"] == "here"
    assert pipeline.run(text="OPENAUTOGLM_NO_SUCH_NAME").outputs["result"] == ""


def test_offsets_come_with_the_text_they_count_in() -> None:
    pipeline = Pipeline(
        name="t",
        components={"fork": Fork(), "up": Upper(), "spans": Spans()},
        connections=[
            ("fork.left", "up.text"),
            ("up.text", "spans.text"),
            ("fork.right", "spans.text"),
        ],
        inputs={"text": "fork.text"},
        outputs={"result": "spans.spans"},
        offsets=Offsets(sender="spans.spans", text="spans.text"),
    )
    up, same = pipeline.stream(["ab", "12"])
    assert (up.text, up.text_from) == ("AB", "up.text")
    assert (same.text, same.text_from) == ("12", "fork.right")
    assert up.offsets == {"/word": (0, 2)}


BAD_RECORDS: list[tuple[object, str]] = [
    ({}, "the input `text` is missing"),
    ({"txt": "a"}, "has no input `txt`"),
    (7, "a record is a mapping"),
    (None, "a record is a mapping"),
]


@pytest.mark.parametrize(("record", "problem"), BAD_RECORDS)
def test_a_bad_record_is_an_error_of_that_record(record: object, problem: str) -> None:
    first, second = shout().stream([cast("str", record), "b"], on_error="return")
    assert problem in str(first.error)
    assert "record 0" in str(first.error)
    assert second.outputs["result"] == "B"


@pytest.mark.parametrize(
    ("value", "got", "fix"),
    [
        (None, "NoneType from `inputs.text`", "pass a str; decode bytes as UTF-8"),
        (b"a", "bytes from `inputs.text`", "pass a str; decode bytes as UTF-8"),
        (["a"], "list from `inputs.text`", "name `text` in `each`"),
    ],
)
def test_what_is_no_text_is_refused_where_a_step_wants_one(
    value: object, got: str, fix: str
) -> None:
    with pytest.raises(StepError, match="step `up`, the record: `text` must be a text") as caught:
        shout().run(text=value)
    assert (caught.value.got, caught.value.fix) == (got, fix)


def test_results_given_out_before_ctrl_c_are_the_callers() -> None:
    engine = EchoEngine()
    engine.stop_at = "E"
    kept: list[object] = []
    found = ask().stream(list("abcdefgh"), engine=engine, window=2)
    with pytest.raises(KeyboardInterrupt):
        kept.extend(result.outputs["result"] for result in found)
    assert kept == list("ABCD")


def test_what_json_can_hold_stays_so_in_a_result() -> None:
    result = shout().run(text="a")
    assert json.loads(json.dumps(result.outputs)) == {"result": "A"}


def test_the_time_of_a_shared_call_is_shared() -> None:
    first, second = ask().stream(["a", "b"], engine=EchoEngine())
    assert first.timings_s["ask"] == second.timings_s["ask"]
    assert set(first.timings_s) == {"up", "ask"}
