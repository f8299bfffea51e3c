from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.engine.prompt import Message, Prompt, as_messages
from openautoglm.engine.shortening import GAP, fit, read_part
from openautoglm.errors import InvalidParameterError, InvalidPromptError

HEAD, TAIL = "<s>", "<a>"


def written(prompt: Prompt) -> str:
    turns = "".join(f"[{m.role[0]}]{m.content}" for m in as_messages(prompt))
    return HEAD + turns + TAIL


def read(prompt: Prompt) -> list[int]:
    """A character is a token."""
    return list(map(ord, written(prompt)))


def text(ids: list[int]) -> str:
    return "".join(map(chr, ids))


def test_a_prompt_that_fits_is_left_alone() -> None:
    cut = fit("dog", read, context=20, max_length=19, part="middle")
    assert (text(cut.ids), cut.left_out) == ("<s>[u]dog<a>", 0)


def test_one_that_does_not_is_refused_with_the_numbers_unless_it_may_be_cut() -> None:
    with pytest.raises(InvalidPromptError, match="59 tokens, the context is 40"):
        fit("d" * 50, read, context=40, max_length=8, part=None)


@pytest.mark.parametrize(
    ("part", "kept"),
    [("start", "vwxyz"), ("end", "abcde"), ("middle", f"a{GAP}z")],
)
def test_the_template_stays_whole_and_the_part_goes(part: str, kept: str) -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    cut = fit(alphabet, read, context=20, max_length=6, part=read_part({"truncate": part}))
    assert text(cut.ids) == f"<s>[u]{kept}<a>"
    assert cut.left_out == len(written(alphabet)) - len(cut.ids)


def test_older_turns_go_before_the_last_is_cut_and_the_system_stays() -> None:
    chat = (
        Message("system", "S"),
        Message("user", "one" * 4),
        Message("assistant", "first"),
        Message("user", "two"),
        Message("assistant", "second"),
        Message("user", "three"),
    )
    cut = fit(chat, read, context=50, max_length=5, part="middle")
    assert text(cut.ids) == "<s>[s]S[u]two[a]second[u]three<a>"
    cut = fit(chat, read, context=30, max_length=5, part="middle")
    assert text(cut.ids) == "<s>[s]S[u]three<a>"


def test_an_answer_that_is_to_go_on_stays() -> None:
    chat = (Message("user", "long" * 20), Message("assistant", "Yes, "))
    cut = fit(chat, read, context=40, max_length=10, part="end")
    assert text(cut.ids).startswith("<s>[u]longlong")
    assert text(cut.ids).endswith("[a]Yes, <a>")
    assert len(cut.ids) == 30


def test_what_cannot_be_made_to_fit_is_refused() -> None:
    chat = (Message("system", "rule " * 20), Message("user", "dog"))
    with pytest.raises(InvalidPromptError, match="the context is 40"):
        fit(chat, read, context=40, max_length=10, part="middle")


@given(
    words=st.lists(st.integers(1, 9), min_size=1, max_size=60),
    context=st.integers(32, 80),
    max_length=st.integers(1, 100),
    part=st.sampled_from(["start", "middle", "end"]),
)
def test_what_is_cut_fits_and_uses_the_room(
    words: list[int], context: int, max_length: int, part: str
) -> None:
    prompt = " ".join("w" * size for size in words)
    cut = fit(
        prompt, read, context=context, max_length=max_length, part=read_part({"truncate": part})
    )
    whole = len(written(prompt))
    limit = max(context - max_length, context // 2)
    assert cut.left_out == whole - len(cut.ids)
    if whole < context:
        assert cut.left_out == 0
    else:
        assert limit - 3 <= len(cut.ids) <= limit
    assert text(cut.ids).startswith("<s>[u]")
    assert text(cut.ids).endswith(TAIL)


def test_the_option_is_a_bool_or_a_part() -> None:
    assert [read_part({}), read_part({"truncate": False}), read_part({"truncate": True})] == [
        None,
        None,
        "middle",
    ]
    with pytest.raises(InvalidParameterError, match="`truncate`"):
        read_part({"truncate": "left"})
