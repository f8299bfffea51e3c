"""`--set`, `--option` and sampling options reach the steps, typed and checked."""

from __future__ import annotations

import pytest

from openautoglm.cli.parameters import (
    Setting,
    apply_settings,
    read_options,
    read_setting,
    with_sampling,
)
from openautoglm.errors import InvalidParameterError, PipelineSyntaxError
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.steps.generate import Generate

ASK = """
name: ask
inputs:
  text: {to: generate.prompt}
components:
  generate: {type: model.generate, params: {max_length: 9, stop: [x]}}
outputs: {answer: generate.text}
"""


def generate(pipeline: Pipeline) -> Generate:
    step = pipeline.spec.components["generate"].step
    assert isinstance(step, Generate)
    return step


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=1", 1),
        ("a.b=-1.5", -1.5),
        ("a.b=true", True),
        ("a.b=no", "no"),
        ("a.b=", None),
        ("a.b='1'", "1"),
        ("a.b=[x, 2]", ["x", 2]),
        ("a.b={k: v}", {"k": "v"}),
        ("a.b=c=d", "c=d"),
        ("a.b=上海", "上海"),
    ],
)
def test_a_value_is_typed_as_in_yaml(text: str, value: object) -> None:
    assert read_setting(text) == Setting(component="a", name="b", value=value)


def test_a_name_without_a_dot_is_an_input() -> None:
    assert read_setting("language=zh") == Setting(component=None, name="language", value="zh")


@pytest.mark.parametrize("text", ["", "=", "a", "a.=1", ".b=1", "a.b.c=1", "a.b"])
def test_garbage_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        read_setting(text)
    assert caught.value.fix == "write --set component.parameter=value"


@pytest.mark.parametrize(
    "text", ["a.b=[", "a.b={", "a.b='", "a.b=!!python/name:os.system", "a.b=*x"]
)
def test_a_value_that_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(PipelineSyntaxError, match=r"--set a\.b"):
        read_setting(text)


def test_a_parameter_is_set_and_the_others_stay() -> None:
    pipeline, inputs = apply_settings(Pipeline.from_yaml(ASK), ["generate.max_length=3", "text=hi"])
    assert generate(pipeline).max_length == 3
    assert generate(pipeline).stop == ("x",)
    assert inputs == {"text": "hi"}


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("generat.max_length=3", "did you mean `generate`?"),
        ("generate.max_lenght=3", "did you mean `max_length`?"),
        ("txt=3", "did you mean `text`?"),
    ],
)
def test_a_name_that_is_nearly_right_is_suggested(text: str, fix: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        apply_settings(Pipeline.from_yaml(ASK), [text])
    assert caught.value.fix == fix


@pytest.mark.parametrize("text", ["generate.max_length=three", "generate.max_length=0"])
def test_a_value_the_step_refuses_is_refused_before_anything_runs(text: str) -> None:
    with pytest.raises(InvalidParameterError, match="max_length"):
        apply_settings(Pipeline.from_yaml(ASK), [text])


def test_what_is_given_on_the_command_line_wins_over_the_file() -> None:
    step = generate(with_sampling(Pipeline.from_yaml(ASK), {"max_length": 5, "temperature": 0.5}))
    assert (step.max_length, step.temperature, step.stop) == (5, 0.5, ("x",))
    with pytest.raises(InvalidParameterError, match="temperature"):
        with_sampling(Pipeline.from_yaml(ASK), {"temperature": -1})


def test_options_are_typed_and_their_names_checked() -> None:
    assert read_options(["device=cpu", "timeout_s=2.5"]) == {"device": "cpu", "timeout_s": 2.5}
    for bad in ("x", "=1", "a-b=1", "backend=echo", "model_path=x"):
        with pytest.raises(InvalidParameterError, match="--option"):
            read_options([bad])
