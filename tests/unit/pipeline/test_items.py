"""How the items of a record go through a pipeline: `each`, branches, windows, iterators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.engine.generation import Generation
from openautoglm.errors import InvalidPromptError, StepError
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.spec import Component
from openautoglm.pipeline.step import Step
from openautoglm.pipeline.steps.generate import Generate

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


class Split(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"words": "", "once": "the same, one at a time"}
    taken: ClassVar[list[str]] = []

    def run(self, *, text: str) -> Mapping[str, object]:
        return {"words": text.split(), "once": self._once(text)}

    def _once(self, text: str) -> Iterator[str]:
        for word in text.split():
            self.taken.append(word)
            if word == "broken":
                raise ValueError("the rest is missing")
            yield word


class Join(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "joined"}

    def run(self, *, words: list[str], between: str = "+") -> Mapping[str, object]:
        return {"text": between.join(words)}


class Pair(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "both"}

    def run(self, *, a: str, b: str) -> Mapping[str, object]:
        return {"text": f"{a}{b}"}


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


def each_word(output: str = "words") -> Pipeline:
    return Pipeline(
        name="t",
        components={
            "split": Split(),
            "up": Component(step=Upper(), each=("text",)),
            "ask": Component(step=Generate(), each=("prompt",)),
            "join": Join(),
        },
        connections=[
            (f"split.{output}", "up.text"),
            ("up.text", "ask.prompt"),
            ("ask.text", "join.words"),
        ],
        inputs={"text": "split.text"},
        outputs={"result": "join.text"},
    )


def results(found: Iterator[PipelineResult]) -> list[object]:
    return [r.outputs.get("result") if r.error is None else r.error for r in found]


@settings(deadline=None)
@given(st.lists(st.text(alphabet="abc 1", max_size=8), max_size=40), st.integers(1, 9))
def test_results_come_in_order_whatever_the_window(texts: list[str], window: int) -> None:
    found = each_word().stream(texts, engine=EchoEngine(), window=window)
    assert results(found) == ["+".join(text.upper().split()) for text in texts]


def test_calls_of_several_segments_reach_the_engine_together() -> None:
    engine = EchoEngine()
    assert each_word().run(text="a b c", engine=engine).outputs["result"] == "A+B+C"
    assert engine.batches == [3]


def test_a_record_of_many_items_goes_through_in_windows() -> None:
    engine = EchoEngine()
    found = each_word("once").stream(["a " * 10, "b"], engine=engine, window=4)
    assert results(found) == ["+".join("A" * 10), "B"]
    assert engine.batches == [4, 4, 3]


def test_an_iterator_is_read_item_by_item_when_one_stage_reads_it() -> None:
    class Stops(EchoEngine):
        def batch(self, prompts: Iterable[object], **options: object) -> Iterator[Generation]:
            assert len(Split.taken) <= 3  # a window, and the item that closes it
            Split.taken.clear()
            return super().batch(prompts, **options)

    Split.taken.clear()
    (found,) = each_word("once").stream(["a b c d e"], engine=Stops(), window=2)
    assert found.outputs["result"] == "A+B+C+D+E"


def test_an_iterator_that_several_read_is_made_a_list() -> None:
    pipeline = Pipeline(
        name="t",
        components={"split": Split(), "x": Join(), "y": Join()},
        connections=[("split.once", "x.words"), ("split.once", "y.words")],
        inputs={"text": "split.text"},
        outputs={"x": "x.text", "y": "y.text"},
    )
    assert pipeline.run(text="a b").outputs == {"x": "a+b", "y": "a+b"}


def test_an_iterator_that_breaks_fails_its_record_and_names_its_step() -> None:
    found = list(
        each_word("once").stream(["a broken", "b"], engine=EchoEngine(), on_error="return")
    )
    assert "step `split`, record 0: ValueError: the rest is missing" in str(found[0].error)
    assert found[1].outputs["result"] == "B"


def test_no_items_are_an_empty_list() -> None:
    assert each_word().run(text="", engine=EchoEngine()).outputs == {"result": ""}


def test_one_item_that_fails_fails_its_record() -> None:
    found = list(each_word().stream(["a bad c", "d"], engine=EchoEngine(), on_error="return"))
    assert "step `up`" in str(found[0].error)
    assert found[1].outputs["result"] == "D"


def pairs(a: str, b: str) -> Pipeline:
    return Pipeline(
        name="t",
        components={"pair": Component(step=Pair(), each=(a, b)), "join": Join()},
        connections=[("pair.text", "join.words")],
        inputs={"a": "pair.a", "b": "pair.b"},
        outputs={"result": "join.text"},
    )


def test_several_lists_go_side_by_side() -> None:
    assert pairs("a", "b").run(a=["1", "2"], b=["x", "y"]).outputs["result"] == "1x+2y"


@pytest.mark.parametrize(
    ("a", "problem"),
    [(["1"], "not equally long"), ("12", "`each` needs a list"), (7, "`each` needs a list")],
)
def test_lists_that_do_not_fit_fail_the_record(a: object, problem: str) -> None:
    with pytest.raises(StepError, match=problem):
        pairs("a", "b").run(a=a, b=["x", "y"])


def test_an_input_that_is_not_in_each_goes_to_every_item() -> None:
    pipeline = Pipeline(
        name="t",
        components={"pair": Component(step=Pair(), each=("a",)), "join": Join()},
        connections=[("pair.text", "join.words")],
        inputs={"a": "pair.a", "b": "pair.b"},
        outputs={"result": "join.text"},
    )
    assert pipeline.run(a=["1", "2"], b="x").outputs["result"] == "1x+2x"


def test_items_can_be_reduced_and_worked_through_again() -> None:
    pipeline = Pipeline(
        name="t",
        components={
            "split": Split(),
            "up": Component(step=Upper(), each=("text",)),
            "join": Join(),
            "pair": Component(step=Pair(), each=("a",)),
            "last": Join(),
        },
        connections=[
            ("split.words", "up.text"),
            ("up.text", "join.words"),
            ("up.text", "pair.a"),
            ("join.text", "pair.b"),
            ("pair.text", "last.words"),
        ],
        inputs={"text": "split.text"},
        outputs={"result": "last.text"},
    )
    assert pipeline.run(text="a b").outputs["result"] == "AA+B+BA+B"


def test_items_may_take_different_branches() -> None:
    pipeline = Pipeline(
        name="t",
        components={
            "split": Split(),
            "fork": Component(step=Fork(), each=("text",)),
            "up": Component(step=Upper(), each=("text",)),
            "same": Join(),
            "loud": Join(),
        },
        connections=[
            ("split.words", "fork.text"),
            ("fork.left", "up.text"),
            ("fork.right", "same.words"),
            ("up.text", "loud.words"),
        ],
        inputs={"text": "split.text"},
        outputs={"same": "same.text", "loud": "loud.text"},
    )
    assert pipeline.run(text="a 1 b 2").outputs == {"same": "1+2", "loud": "A+B"}


def test_a_window_of_one_gives_each_result_before_the_next_record_is_read() -> None:
    read: list[str] = []

    def records() -> Iterator[str]:
        for text in "abc":
            read.append(text)
            yield text

    found = each_word().stream(records(), engine=EchoEngine(), window=1)
    assert [len(read) for _ in found] == [1, 2, 3]
