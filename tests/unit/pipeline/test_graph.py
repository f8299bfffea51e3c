"""Which graphs are pipelines, and how they are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import Any, ClassVar

import pytest

from openautoglm.errors import InvalidParameterError, PipelineGraphError, UnknownNameError
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.spec import Component, Connection, Input, Offsets
from openautoglm.pipeline.step import Step
from openautoglm.pipeline.steps.render import Render


class Pass(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"out": "what came in"}

    def run(self, *, value: object, more: object = None) -> Mapping[str, object]:
        return {"out": (value, more) if more else value}


class Either(Step, frozen=True):
    exclusive: ClassVar[tuple[str, ...]] = ("yes", "no")
    outputs: ClassVar[Mapping[str, str]] = {"yes": "", "no": "", "both": ""}

    def run(self, *, value: object) -> Mapping[str, object]:
        return {"yes" if value else "no": value, "both": value}


def build(
    components: Mapping[str, Step | Component],
    *connections: tuple[str, str],
    **more: Any,  # noqa: ANN401 - sections
) -> Pipeline:
    sections = {"inputs": {"x": "a.value"}, "outputs": {"result": "a.out"}, **more}
    return Pipeline(name="t", components=components, connections=connections, **sections)


def test_a_graph_built_in_python_runs() -> None:
    pipeline = build({"a": Pass(), "b": Pass()}, ("a.out", "b.value"), outputs={"r": "b.out"})
    assert pipeline.run(x=1).outputs == {"r": 1}


def test_an_optional_input_may_stay_unconnected_or_be_connected() -> None:
    pipeline = build({"a": Pass()}, inputs={"x": "a.value", "y": Input(to=("a.more",))})
    assert pipeline.run(x=1, y=2).outputs == {"result": (1, 2)}


def test_an_input_with_a_default_may_be_left_out() -> None:
    pipeline = build({"a": Pass()}, inputs={"x": Input(to=("a.value",), default=7)})
    assert pipeline.run().outputs == {"result": 7}


def test_exclusive_branches_may_meet_in_one_input_again() -> None:
    pipeline = build(
        {"e": Either(), "b": Pass(), "a": Pass()},
        ("e.yes", "b.value"),
        ("b.out", "a.value"),
        ("e.no", "a.value"),
        inputs={"x": "e.value"},
    )
    assert pipeline.run(x=1).outputs == {"result": 1}
    assert "b" in pipeline.run(x=1).timings_s
    assert pipeline.run(x=0).outputs == {"result": 0}
    assert "b" not in pipeline.run(x=0).timings_s


def test_a_pipeline_is_frozen_and_equal_to_one_that_does_the_same() -> None:
    pipeline = build({"a": Pass()})
    assert pipeline == build({"a": Pass()})
    assert pipeline != build({"a": Pass(), "b": Pass()}, ("a.out", "b.value"))
    with pytest.raises(AttributeError):
        pipeline.spec = pipeline.spec  # type: ignore[misc] # the refusal is the test
    with pytest.raises(TypeError):
        pipeline.spec.components["b"] = Component(step=Pass())  # type: ignore[index] # as above
    assert repr(pipeline) == "Pipeline('t', components=[a])"


TWO = {"a": Pass(), "b": Pass()}
REFUSED: list[tuple[str, dict[str, Any], tuple[tuple[str, str], ...], str, str]] = [
    ("no components", {}, (), "no components", "add one"),
    ("a bad name", {"a b": Pass()}, (), "`a b` cannot be a name", "letters"),
    ("the reserved component", {"inputs": Pass()}, (), "may be called `inputs`", "another name"),
    ("an unknown component", TWO, (("c.out", "b.value"),), "no component is called `c`", "check"),
    ("no socket", TWO, (("a", "b.value"),), "`a` names no socket", "component.socket"),
    ("an unknown output", TWO, (("a.oud", "b.value"),), "no output `oud`", "did you mean `out`?"),
    ("an unknown input", TWO, (("a.out", "b.valu"),), "no input `valu`", "did you mean `value`?"),
    ("nothing connected", TWO, (), "nobody fills the required input `value` of `b`", "b.value"),
    ("two senders", TWO, (("a.out", "b.value"), ("a.out", "b.value")), "two senders", "remove one"),
    (
        "a circle",
        {"a": Pass(), "b": Pass(), "c": Pass()},
        (("b.out", "c.value"), ("c.out", "b.value")),
        "run in a circle",
        "remove one",
    ),
    ("a circle of one", TWO, (("b.out", "b.value"),), "run in a circle", "remove one"),
    (
        "both branches",
        {"a": Pass(), "e": Either(), "b": Pass()},
        (("a.out", "e.value"), ("e.yes", "b.value"), ("e.both", "b.value")),
        "two senders fill `b.value`",
        "only branches of which one is taken",
    ),
    (
        "a variable",
        {"a": Pass(), "b": Render(template="{text} {produkt}")},
        (("a.out", "b.text"),),
        "nobody fills the template variable `produkt` of `b`",
        "b.produkt",
    ),
    (
        "an unknown variable",
        {"a": Pass(), "b": Render(template="{text}")},
        (("a.out", "b.texd"),),
        "`b` has no input `texd`",
        "did you mean `text`?",
    ),
    (
        "full-width braces",
        {"a": Pass(), "b": Render(template="摘要:｛text｝")},
        (("a.out", "b.text"),),
        "`b` has no input `text`",
        "write `{text}` in the template, with half-width braces",
    ),
    (
        "each of nothing",
        {"a": Pass(), "b": Component(step=Pass(), each=("valu",))},
        (("a.out", "b.value"),),
        "`each` names `valu`",
        "did you mean `value`?",
    ),
]


@pytest.mark.parametrize(
    ("components", "connections", "problem", "fix"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_a_graph_that_cannot_run_is_refused(
    components: dict[str, Step],
    connections: tuple[tuple[str, str], ...],
    problem: str,
    fix: str,
) -> None:
    with pytest.raises(PipelineGraphError, match=re.escape(problem)) as caught:
        build(components, *connections)
    assert fix in str(caught.value)


SECTIONS: list[tuple[dict[str, Any], str]] = [
    ({"inputs": {"x": ()}}, "the input `x` goes nowhere"),
    ({"inputs": {"x": "a.value", "engine": "a.more"}}, "no input may be called `engine`"),
    ({"inputs": {"x": ("a.value", "a.value")}}, "two senders fill `a.value`"),
    ({"outputs": {}}, "the pipeline has no outputs"),
    ({"outputs": {"result": "a.text"}}, "`a` has no output `text`"),
    ({"offsets": Offsets(sender="a.spans", text="a.value")}, "`a` has no output `spans`"),
    ({"offsets": Offsets(sender="a.out", text="b.value")}, "no component is called `b`"),
]


@pytest.mark.parametrize(("sections", "problem"), SECTIONS, ids=[row[1] for row in SECTIONS])
def test_a_wrong_section_is_refused(sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(PipelineGraphError, match=re.escape(problem)):
        build({"a": Pass()}, **sections)


def test_a_step_that_needs_both_branches_can_never_run() -> None:
    with pytest.raises(PipelineGraphError, match="`b` can never run"):
        Pipeline(
            name="t",
            components={"e": Either(), "b": Render(template="{x} {y}")},
            connections=[Connection(sender="e.yes", receiver="b.x"), ("e.no", "b.y")],
            inputs={"x": "e.value"},
            outputs={"r": "b.prompt"},
        )


def test_the_circle_is_shown() -> None:
    with pytest.raises(PipelineGraphError) as caught:
        build({"a": Pass(), "b": Pass()}, ("a.out", "b.value"), ("b.out", "a.more"))
    assert caught.value.got in {"a → b → a", "b → a → b"}


def chain(length: int) -> Pipeline:
    return build(
        {"a": Pass(), **{f"c{n}": Pass() for n in range(1, length)}},
        *((f"c{n - 1}.out" if n > 1 else "a.out", f"c{n}.value") for n in range(1, length)),
        outputs={"result": f"c{length - 1}.out"},
    )


def test_the_longest_pipeline_runs_and_a_longer_one_is_refused() -> None:
    assert chain(200).run(x="hello").outputs == {"result": "hello"}
    with pytest.raises(PipelineGraphError, match="more than 200 components"):
        chain(201)


def test_an_unknown_task_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(UnknownNameError, match="did you mean `extract`"):
        Pipeline.load("extrct")


def test_a_step_that_has_no_name_cannot_be_written_to_a_file() -> None:
    with pytest.raises(PipelineGraphError, match="`a` cannot be written to a file"):
        build({"a": Pass()}).to_yaml()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"on_error": "ignore"}, "on_error"),
        ({"window": 0}, "window"),
        ({"window": True}, "window"),
    ],
)
def test_a_wrong_option_of_stream_is_refused_at_once(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidParameterError, match=problem):
        build({"a": Pass()}).stream([], **options)


@pytest.mark.parametrize(
    "sections",
    [
        {"components": {"a": "text.clean"}},
        {"components": {"a": Component(step=Pass)}},  # type: ignore[arg-type] # the class
        {"components": {"a": None}},
        {"connections": ["ab"]},
        {"connections": [("a.out",)]},
        {"connections": [("a.out", 7)]},
        {"inputs": {"x": 7}},
        {"inputs": {"x": ["a.value", 7]}},
        {"inputs": {"x": {"to": "a.value"}}},
    ],
    ids=str,
)
def test_a_section_that_holds_something_else_is_refused_by_name(sections: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "components": {"a": Pass()},
        "inputs": {"x": "a.value"},
        "outputs": {"r": "a.out"},
    }
    (section,) = sections
    with pytest.raises(InvalidParameterError, match=f"`{section}` must hold") as caught:
        Pipeline(name="t", **(good | sections))
    assert caught.value.fix


@pytest.mark.parametrize("engine", ["nano", 7, object()], ids=["a name", "a number", "an object"])
def test_an_engine_that_is_none_is_refused_at_once(engine: Any) -> None:  # noqa: ANN401 - wrong ones
    pipeline = build({"a": Pass()})
    for call in (
        lambda: pipeline.run(x=1, engine=engine),
        lambda: pipeline.stream([], engine=engine),
    ):
        with pytest.raises(InvalidParameterError, match="`engine` must be a loaded model"):
            call()


def test_one_record_in_place_of_many_is_refused_at_once() -> None:
    with pytest.raises(InvalidParameterError, match="records"):
        build({"a": Pass()}).stream({"x": 1})
