"""PromptTemplate: what it renders, what it refuses, and in which words."""

from __future__ import annotations

import json
import pickle
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import (
    OpenAutoGLMError,
    TemplateSyntaxError,
    TemplateValueError,
    TemplateVariableError,
)
from openautoglm.prompts.json_braces import escaped_json
from openautoglm.prompts.syntax import parse
from openautoglm.prompts.template import PromptTemplate, escape

BRACES = st.text(alphabet="{}｛｝ab_01 .[]!:\"'\n\r\t,甲🎈", max_size=40)
NAMES = st.sampled_from(["a", "b", "甲", "a_b"])


def made(text: str, variables: list[str]) -> PromptTemplate[str] | OpenAutoGLMError:
    try:
        return PromptTemplate(text, variables)
    except OpenAutoGLMError as error:
        return error


@given(st.text() | BRACES)
def test_escaped_text_renders_to_itself(text: str) -> None:
    assert PromptTemplate(escape(text), []).format() == text


@given(BRACES, st.lists(NAMES, unique=True))
def test_any_text_is_a_template_or_an_error_of_ours(text: str, variables: list[str]) -> None:
    template = made(text, variables)
    if isinstance(template, OpenAutoGLMError):
        assert template.fix
        return
    values = {name: f"<{name}{{}}>" for name in variables}
    assert template.format(**values) == text.format(**values)


@given(BRACES)
def test_what_parses_declares_exactly_what_it_uses(text: str) -> None:
    parsed = parse(text)
    if not parsed.problems:
        assert PromptTemplate(text, parsed.names()).input_variables == parsed.names()


@given(st.text() | BRACES, st.text() | BRACES)
def test_a_value_is_never_read_as_a_template(before: str, value: str) -> None:
    template = PromptTemplate(escape(before) + "{value}", ["value"])
    assert template.format(value=value) == before + value


@given(st.dictionaries(st.text("ab {}", max_size=3), st.integers() | st.text("{}[]ab: ")))
def test_json_written_as_the_fix_says_renders_to_the_json(data: dict[str, object]) -> None:
    text = json.dumps(data)
    fixed = parse(escaped_json(text))
    assert not fixed.problems
    if not fixed.fields:
        assert PromptTemplate(escaped_json(text), []).format() == text


def test_the_fix_for_json_is_the_line_as_it_must_be_written() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        PromptTemplate('输出 {"name": "{name}", "more": {"a": [1]}} 即可', ["name"])
    fixed = str(caught.value.fix).split("\n")[1]
    assert fixed == '输出 {{"name": "{name}", "more": {{"a": [1]}}}} 即可'
    assert PromptTemplate(fixed, ["name"]).format(name="x") == (
        '输出 {"name": "x", "more": {"a": [1]}} 即可'
    )


def test_a_fault_shows_its_line_with_carets_below_it() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        PromptTemplate("第一行\n摘要:{ content }。\n第三行", ["content"])
    assert str(caught.value).splitlines() == [
        "[OAG101] line 2, column 4: `{ content }` has spaces around the name",
        "  got: 摘要:{ content }。",
        "            ^^^^^^^^^^^",
        "  fix: write `{content}`",
    ]


def test_a_long_line_is_cropped_around_the_fault() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        PromptTemplate("p" * 500 + "{}" + "y" * 500, [])
    assert str(caught.value.got).startswith("…ppp")
    assert max(map(len, str(caught.value.got).splitlines())) < 80


def test_control_characters_do_not_reach_the_terminal() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        PromptTemplate("\x1b[31m\u202e{}", [])
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


def test_the_other_faults_are_counted() -> None:
    with pytest.raises(TemplateSyntaxError, match=r"\(and 2 more\)"):
        PromptTemplate("{} {0} }", [])
    with pytest.raises(TemplateSyntaxError, match=r"\(and 19 more\)"):
        PromptTemplate("{}" * 100_000, [])


@pytest.mark.parametrize("template", [None, 7, b"text", {"role": "user"}, iter("abc")])
def test_what_is_neither_text_nor_messages_is_refused(template: object) -> None:
    with pytest.raises(TemplateSyntaxError, match="text or a list of messages"):
        PromptTemplate(template, [])  # type: ignore[call-overload] # the point


@pytest.mark.parametrize(
    ("variables", "fix"),
    [
        ("content", 'write ["content"]'),
        ({"content"}, 'write ["content"]'),
        (None, 'write ["content"]'),
        (["content", 7], "write the name in quotes"),
        (["{content}"], 'write "content"'),
        (["content "], 'write "content"'),
        (["my-name"], "use letters, digits and `_`"),
        (["content", "content"], "name each variable once"),
        (["ｃontent"], 'write "content"'),
    ],
)
def test_wrong_input_variables_are_refused_with_the_fix(variables: object, fix: str) -> None:
    with pytest.raises(TemplateVariableError) as caught:
        PromptTemplate("{content}", variables)  # type: ignore[call-overload] # the point
    assert caught.value.fix == fix


def test_a_misspelt_variable_is_told_the_declared_one() -> None:
    with pytest.raises(TemplateVariableError, match="line 1, column 4") as caught:
        PromptTemplate("摘要:{contant}", ["content"])
    assert "did you mean `{content}`?" in str(caught.value.fix)


def test_a_variable_in_double_braces_is_told_to_use_single_ones() -> None:
    with pytest.raises(TemplateVariableError) as caught:
        PromptTemplate("摘要:{{ content }}", ["content"])
    assert "single braces" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("values", "problem", "fix"),
    [
        ({}, "no value for `a` and no value for `bee`", "pass `a`, `bee`"),
        ({"a": "x"}, "no value for `bee`", "pass `bee`"),
        ({"a": "x", "be": "y"}, "no variable is called `be`", "did you mean `bee`"),
        ({"a": "x", "bee": "y", "zzz": "z"}, "no variable is called `zzz`", "leave out `zzz`"),
        ({"a": "x", "bee": None}, "the value of `bee` is None", 'pass ""'),
        ({"a": b"x", "bee": "y"}, "the value of `a` is bytes", "decode"),
    ],
)
def test_wrong_values_are_refused_with_the_fix(
    values: dict[str, object], problem: str, fix: str
) -> None:
    with pytest.raises(TemplateValueError) as caught:
        PromptTemplate("{a}{bee}", ["a", "bee"]).format(**values)
    assert problem in caught.value.problem
    assert fix in str(caught.value.fix)


class Colour(str, Enum):  # noqa: UP042 - the older form renders differently from its text
    RED = "red"


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_value_that_is_not_text_becomes_what_str_makes_of_it() -> None:
    template = PromptTemplate("{a}|{b}|{c}|{d}", ["a", "b", "c", "d"])
    assert template.format(a=1, b=2.5, c=[1, "x"], d=Colour.RED) == "1|2.5|[1, 'x']|Colour.RED"


@pytest.mark.parametrize("value", [Broken(), 10**5000], ids=["broken", "huge"])
def test_a_value_without_a_text_names_its_variable(value: object) -> None:
    with pytest.raises(TemplateValueError, match=r"`a` cannot be turned into text"):
        PromptTemplate("{a}", ["a"]).format(a=value)


def test_a_variable_may_be_called_like_a_parameter() -> None:
    assert PromptTemplate("{self}{template}", ["self", "template"]).format(
        self="a", template="b"
    ) == ("ab")


CHAT = [{"role": "system", "content": "你是{role}"}, {"role": "user", "content": "{q}"}]


def test_a_chat_renders_to_fresh_messages() -> None:
    template = PromptTemplate(CHAT, ["role", "q"])
    first = template.format(role="编辑", q="{x}")
    first[0]["content"] = "changed"
    assert template.format(role="编辑", q="{x}") == [
        {"role": "system", "content": "你是编辑"},
        {"role": "user", "content": "{x}"},
    ]
    assert template.format_messages(role="a", q="b") == template.format(role="a", q="b")


def test_a_text_is_one_user_message() -> None:
    assert PromptTemplate("{q}", ["q"]).format_messages(q="why") == [
        {"role": "user", "content": "why"}
    ]


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "without messages"),
        (["text"], "message 1 is not a role and a content"),
        ([{"role": "user"}], "message 1 is not a role and a content"),
        ([{"role": "user", "content": "x", "name": "y"}], "message 1 is not a role"),
        ([CHAT[0], {"role": "usr", "content": "x"}], "message 2 has an unknown role"),
        ([{"role": "user", "content": 7}], "the content of message 1 is not text"),
        ([{"role": ["user"], "content": "x"}], "message 1 has an unknown role"),
        ([CHAT[0], {"role": "user", "content": "a\n{}"}], "message 2, line 2, column 1: "),
    ],
)
def test_a_wrong_message_is_named_by_its_number(messages: object, problem: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        PromptTemplate(messages, ["role"])  # type: ignore[call-overload] # the point
    assert problem in caught.value.problem


def test_one_message_is_told_to_stand_in_a_list() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        PromptTemplate(CHAT[1], ["q"])  # type: ignore[call-overload] # the point
    assert caught.value.fix == "put the message in a list: [{…}]"


def test_a_variable_used_in_one_message_counts_for_all() -> None:
    with pytest.raises(TemplateVariableError, match="`tone` is declared and never used"):
        PromptTemplate(CHAT, ["role", "q", "tone"])


def test_filling_in_some_values_leaves_a_template_of_the_rest() -> None:
    chat = PromptTemplate(CHAT, ["role", "q"]).partial(role="{编辑}")
    assert chat.input_variables == ("q",)
    assert chat.format(q="x") == PromptTemplate(CHAT, ["role", "q"]).format(role="{编辑}", q="x")
    with pytest.raises(TemplateValueError, match="no variable is called `rol`"):
        chat.partial(rol="x")


@given(st.text(st.characters(exclude_characters="｛｝")) | st.text("{}ab "), st.text())
def test_filling_in_steps_is_filling_in_at_once(a: str, b: str) -> None:
    template = PromptTemplate("{a}-{b}{{}}{a}", ["a", "b"])
    assert template.partial(a=a).format(b=b) == template.format(a=a, b=b)


@pytest.mark.parametrize("a", ["｛b｝", "x {b｝"])
def test_a_value_that_reads_as_a_variable_is_not_filled_in_alone(a: str) -> None:
    template = PromptTemplate("{a}-{b}", ["a", "b"])
    with pytest.raises(TemplateValueError, match="reads as a variable") as caught:
        template.partial(a=a)
    assert "at once" in str(caught.value.fix)
    assert template.format(a=a, b="y") == f"{a}-y"


def test_templates_are_values() -> None:
    one, same = PromptTemplate("{a}", ["a"]), PromptTemplate("{a}", ("a",))
    assert one == same
    assert hash(one) == hash(same)
    assert one != PromptTemplate([{"role": "user", "content": "{a}"}], ["a"])
    assert one != "{a}"
    assert repr(one) == "PromptTemplate('{a}', ['a'])"
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes


def test_a_template_does_not_change_with_the_lists_it_was_made_of() -> None:
    variables, messages = ["a"], [{"role": "user", "content": "{a}"}]
    template = PromptTemplate(messages, variables)
    variables.append("b")
    messages[0]["content"] = "{b}"
    template.template[0]["content"] = "{c}"
    assert template.format(a="x") == [{"role": "user", "content": "x"}]
