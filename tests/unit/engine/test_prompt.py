from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine.prompt import Message, last_user_text, read_prompt
from openautoglm.errors import InvalidPromptError, TemplateSyntaxError
from openautoglm.prompts.template import PromptTemplate

USER = {"role": "user", "content": "hi"}
WRONG: list[object] = [
    "",
    " \n\t　",
    "half of a pair \ud83d",
    None,
    7,
    b"bytes",
    USER,
    [],
    ["hi"],
    [None],
    [{"role": "user"}],
    [{"content": "hi"}],
    [{"role": "tool", "content": "hi"}],
    [{"role": 1, "content": "hi"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": ["hi"]}],
    [{"role": "user", "content": "\udc00"}],
    [{"role": "user", "content": "hi", "name": "x"}],
    [{"role": "user", "content": "  "}],
    [{"role": "system", "content": "be kind"}],
]


@pytest.mark.parametrize("value", WRONG, ids=ascii)
def test_what_is_no_prompt_is_refused_with_a_fix(value: object) -> None:
    with pytest.raises(InvalidPromptError) as caught:
        read_prompt(value)
    assert caught.value.fix


def test_the_message_that_is_wrong_is_named_as_in_a_template() -> None:
    chat = [USER, {"role": "usr", "content": "hello"}]
    with pytest.raises(InvalidPromptError, match="message 2 has an unknown role") as caught:
        read_prompt(chat)
    with pytest.raises(TemplateSyntaxError) as template:
        PromptTemplate(chat, [])
    assert (caught.value.problem, caught.value.fix) == (template.value.problem, template.value.fix)
    assert caught.value.fix == "did you mean `user`?"


def test_messages_are_frozen_in_order() -> None:
    chat = [{"role": "system", "content": ""}, USER, {"role": "assistant", "content": "yes"}]
    prompt = read_prompt(chat)
    assert prompt == (Message("system", ""), Message("user", "hi"), Message("assistant", "yes"))
    assert last_user_text(prompt) == "hi"


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda t: t.strip()))
def test_any_text_that_says_something_is_a_prompt(text: str) -> None:
    assert read_prompt(text) == text


JSON = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner)
    ),
)


@given(JSON)
def test_any_value_is_read_or_refused_and_nothing_else(value: object) -> None:
    try:
        prompt = read_prompt(value)
    except InvalidPromptError:
        return
    assert prompt == value or isinstance(value, list)
