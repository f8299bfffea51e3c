"""The step `prompt.render`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import (
    InvalidParameterError,
    PromptNotFoundError,
    TemplateSyntaxError,
    TemplateValueError,
)
from openautoglm.pipeline.context import RunContext
from openautoglm.pipeline.steps.render import Render
from openautoglm.pipeline.steps.segment import Segment
from openautoglm.prompts.store import PromptStore
from openautoglm.prompts.template import PromptTemplate

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = RunContext()
CHAT = ({"role": "system", "content": "Be {tone}."}, {"role": "user", "content": "{text}"})


def test_a_text_template_becomes_a_text() -> None:
    assert Render(template="摘要:{text}").run(text="{天}", context=CONTEXT) == {
        "prompt": "摘要:{天}"
    }


def test_a_chat_template_becomes_messages() -> None:
    step = Render(messages=CHAT)
    assert step.variable_inputs() == ("tone", "text")
    assert step.run(tone="kind", text="hi", context=CONTEXT)["prompt"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
    ]


def test_a_segment_stands_for_its_text() -> None:
    segment = Segment(text="part", start=7, end=11)
    assert Render(template="{text}!").run(text=segment, context=CONTEXT) == {"prompt": "part!"}


def test_a_list_is_refused_with_the_key_that_maps_over_it() -> None:
    with pytest.raises(TemplateValueError) as caught:
        Render(template="{text}").run(text=[Segment(text="a", start=0, end=1)], context=CONTEXT)
    assert "name `text` in `each`" in str(caught.value.fix)


@pytest.mark.parametrize(
    "given",
    [{}, {"template": "a", "prompt": "b"}, {"messages": CHAT, "template": ""}],
)
def test_exactly_one_template_is_set(given: dict[str, str]) -> None:
    with pytest.raises(InvalidParameterError, match="exactly one"):
        Render(**given)  # type: ignore[arg-type] # the refusal is the test


@pytest.mark.parametrize("template", ["{", "{a.b}", "{}"])
def test_a_template_that_cannot_be_read_is_refused_when_the_step_is_made(template: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        Render(template=template)


def test_a_stored_prompt_is_read_once_when_the_step_first_runs(tmp_path: Path) -> None:
    store = PromptStore(tmp_path)
    store.save("ask", PromptTemplate("Q: {q}", ["q"]))
    store.alias("ask", "live", 1)
    step = Render(prompt="ask@live")
    assert step.variable_inputs() is None
    context = RunContext(given_prompts=store)
    assert step.run(q="why", context=context) == {"prompt": "Q: why"}
    store.save("ask", PromptTemplate("2: {q}", ["q"]))
    store.alias("ask", "live", 2)
    assert step.run(q="why", context=replace(context, source="b")) == {"prompt": "Q: why"}
    assert step.run(q="why", context=RunContext(given_prompts=store)) == {"prompt": "2: why"}


def test_the_prompt_store_of_the_settings_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_PROMPTS", str(tmp_path))
    PromptStore(tmp_path).save("ask", PromptTemplate("Q: {q}", ["q"]))
    assert Render(prompt="ask").run(q="why", context=RunContext()) == {"prompt": "Q: why"}
    with pytest.raises(PromptNotFoundError):
        Render(prompt="aks").run(q="why", context=RunContext())
