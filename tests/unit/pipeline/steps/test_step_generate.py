"""The step `model.generate`."""

from __future__ import annotations

import msgspec
import pytest

from openautoglm import AutoGLM
from openautoglm.engine.generation import Generation
from openautoglm.errors import InvalidParameterError, InvalidPromptError, SchemaError
from openautoglm.pipeline.context import RunContext
from openautoglm.pipeline.steps.generate import Generate
from openautoglm.pipeline.steps.segment import Segment
from openautoglm.testing import EchoBackend

ECHO = RunContext(given_engine=AutoGLM(backend=EchoBackend()))
COPIED = {
    "type": "object",
    "properties": {"order": {"type": ["string", "null"], "x-extractive": True}},
    "required": ["order"],
    "additionalProperties": False,
}


def answers(*texts: str) -> RunContext:
    return RunContext(given_engine=AutoGLM(backend=EchoBackend(answers=texts)))


def test_one_prompt_gets_one_answer() -> None:
    found = Generate().run(prompt="hello", context=ECHO)
    assert found["text"] == "hello"
    assert isinstance(found["generation"], Generation)


@pytest.mark.parametrize("many", [["a", "b"], ("a", "b"), []])
def test_a_list_of_prompts_gets_a_list_of_answers_in_order(many: list[str]) -> None:
    assert Generate().run(prompt=many, context=ECHO)["text"] == list(many)


def test_a_chat_is_one_prompt_and_a_list_of_chats_is_many() -> None:
    chat = [{"role": "user", "content": "hi"}]
    assert Generate().run(prompt=chat, context=ECHO)["text"] == "hi"
    assert Generate().run(prompt=[chat, chat], context=ECHO)["text"] == ["hi", "hi"]


def test_sampling_parameters_reach_the_model() -> None:
    assert Generate(max_length=2).run(prompt="hello", context=ECHO)["text"] == "he"
    assert Generate(stop=("l",)).run(prompt="hello", context=ECHO)["text"] == "he"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"regex": "[ab]{3}"}, "aaa"),
        ({"choice": ("no", "nope")}, "no"),
        ({"grammar": 'root ::= "(" [ab] ")"'}, "(a)"),
        ({"response_format": {"type": "json_object"}}, "{}"),
    ],
)
def test_an_answer_has_the_form_that_the_step_asks_for(form: dict[str, object], text: str) -> None:
    step = msgspec.convert(form, Generate)
    assert step.run(prompt=["a", "b"], context=ECHO)["text"] == [text, text]


def test_a_form_that_cannot_be_is_refused_when_the_step_is_made() -> None:
    with pytest.raises(InvalidParameterError, match="one form only"):
        Generate(regex="a", choice=("a",))
    with pytest.raises(InvalidParameterError, match="did you mean `json_object`"):
        Generate(response_format={"type": "json_objekt"})


def test_copied_values_have_their_place_in_the_source_and_not_in_the_prompt() -> None:
    source = Segment(text="order A-17 is late", start=100, end=118)
    found = Generate(schema=COPIED).run(
        prompt="Extract: order A-17 is late", source=source, context=answers('{"order":"A-17"}')
    )
    assert isinstance(found["generation"], Generation)
    assert found["generation"].offsets == {"/order": (6, 10)}


def test_calls_of_a_batch_answer_each_with_its_own_source() -> None:
    calls = [{"prompt": "p", "source": "A-1 x"}, {"prompt": "p", "source": "x A-1"}]
    found = Generate(schema=COPIED).run_batch(calls, context=answers('{"order":"A-1"}'))
    answers_found = [one["generation"] for one in found if not isinstance(one, Exception)]
    spans = [one.offsets for one in answers_found if isinstance(one, Generation)]
    assert spans == [{"/order": (0, 3)}, {"/order": (2, 5)}]


def test_a_call_that_fails_leaves_the_others_of_its_batch_alone() -> None:
    found = Generate().run_batch([{"prompt": "a"}, {"prompt": ""}, {"prompt": "b"}], context=ECHO)
    assert isinstance(found[1], InvalidPromptError)
    assert [one["text"] for one in (found[0], found[2]) if not isinstance(one, Exception)] == [
        "a",
        "b",
    ]
    with pytest.raises(InvalidPromptError):
        Generate().run(prompt="", context=ECHO)


def test_a_source_that_is_a_list_is_refused_with_the_key_that_maps_over_it() -> None:
    with pytest.raises(InvalidPromptError) as caught:
        Generate().run(prompt="a", source=["b"], context=ECHO)
    assert "`each`" in str(caught.value.fix)


def test_parameters_are_checked_when_the_step_is_made() -> None:
    with pytest.raises(InvalidParameterError, match="max_length"):
        Generate(max_length=0)
    with pytest.raises(SchemaError, match="the JSON schema is wrong at"):
        Generate(schema={"type": "objekt"})
