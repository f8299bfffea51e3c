"""Rows through prompts and pipelines, with the model that comes with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from openautoglm.errors import (
    InvalidParameterError,
    OutputParseError,
    SchemaError,
    StepError,
    TemplateSyntaxError,
    TemplateValueError,
)
from openautoglm.jobs.works import models, open_work, read_intent
from openautoglm.testing import echo_backend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.jobs.conftest import Desk

    from openautoglm.jobs.work import Work

LABEL: Final = {
    "type": "object",
    "properties": {"label": {"enum": ["billing", "delivery"]}},
    "required": ["label"],
    "additionalProperties": False,
}


@pytest.fixture
def works(desk: Desk) -> Iterator[Any]:
    """A function that opens the work of a job that is asked of an echo."""
    opened: list[Work] = []

    def opening(**fields: object) -> Work:
        opened.append(open_work(desk.job(backend="echo", **fields)))
        return opened[-1]

    with echo_backend():
        yield opening
    for work in opened:
        work.close()


def test_a_prompt_is_filled_and_answered(works: Any) -> None:  # noqa: ANN401 - opens works
    work = works(template="Say {text} and {list}")
    answer = work.answer({"text": "hi", "list": [1, "é"], "more": 3})
    assert answer.outputs == {"output": 'Say hi and [1, "é"]'}
    assert answer.tokens == 2 * len('Say hi and [1, "é"]')
    assert work.inputs() == ("text", "list")


def test_a_chat_and_a_setting_are_filled_too(works: Any) -> None:  # noqa: ANN401 - as above
    chat = (
        {"role": "system", "content": "{tone}"},
        {"role": "user", "content": "{text}"},
    )
    work = works(template=chat, settings={"tone": "short"})
    assert work.inputs() == ("text",)
    assert work.answer({"text": "hi"}).outputs == {"output": "hi"}


def test_a_schema_makes_values_of_answers(works: Any) -> None:  # noqa: ANN401 - as above
    work = works(template="{text}", schema=LABEL)
    assert work.answer({"text": "hi"}).outputs["output"]["label"] in {"billing", "delivery"}
    cut = works(template="{text}", schema=LABEL, sampling={"max_length": 3})
    with pytest.raises(OutputParseError, match="before its JSON was whole"):
        cut.answer({"text": "hi"})


def test_a_row_without_a_value_is_refused(works: Any) -> None:  # noqa: ANN401 - as above
    work = works(template="{text}")
    for values in ({}, {"text": None}):
        with pytest.raises(TemplateValueError, match="text"):
            work.answer(values)


def test_a_pipeline_is_run_with_its_inputs_alone_and_tokens_are_counted(
    works: Any,  # noqa: ANN401 - as above
) -> None:
    work = works(pipeline="summarize")
    answer = work.answer({"text": "Hello there, my order is late.", "other": 1})
    assert set(answer.outputs) == {"result"}
    assert answer.tokens > 0
    with pytest.raises(StepError):
        work.answer({"text": 3})


def test_a_pipeline_without_a_model_loads_none(desk: Desk, monkeypatch: Any) -> None:  # noqa: ANN401 - pytest's
    monkeypatch.setattr(models, "load_engine", None)
    text = """\
name: tidy
inputs: {text: {to: clean.text}}
components: {clean: {type: text.clean}}
outputs: {text: clean.text}
"""
    work = open_work(desk.job(pipeline=text))
    assert work.answer({"text": "<p>a &amp; b</p>"}).outputs["text"].strip() == "a & b"  # type: ignore[attr-defined]  # a text
    assert "model" not in work.fingerprint()
    work.close()


def test_sampling_reaches_the_steps_that_generate(works: Any) -> None:  # noqa: ANN401 - as above
    text = """\
name: say
inputs: {text: {to: generate.prompt}}
components: {generate: {type: model.generate, params: {max_length: 9}}}
outputs: {text: generate.text}
"""
    work = works(pipeline=text, sampling={"max_length": 2})
    assert work.answer({"text": "hello"}).outputs == {"text": "he"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"template": "{text"}, TemplateSyntaxError),
        ({"template": "{text}", "sampling": {"max_tokens": 3}}, InvalidParameterError),
        ({"template": "{text}", "schema": {"type": "objekt"}}, SchemaError),
        ({"pipeline": "classify", "sampling": {"max_length": "3"}}, InvalidParameterError),
    ],
)
def test_what_cannot_be_asked_is_refused_before_a_model_is_loaded(
    desk: Desk, fields: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        read_intent(desk.job(**fields))
