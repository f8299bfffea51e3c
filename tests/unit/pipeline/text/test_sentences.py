"""Sentences: a table of boundaries, and the law that nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.pipeline.text.graphemes import cut_after, cut_before
from openautoglm.pipeline.text.sentences import iter_sentences

PIECES = st.sampled_from(
    [
        "。",
        "！",
        "……",
        ".",
        "!",
        "?",
        " ",
        "\n",
        '"',
        "”",
        "）",
        "a",
        "B",
        "1",
        "你",
        "Dr",
        "e.g",
        "，",
    ]
)


@pytest.mark.parametrize(
    "marked",
    [
        "你好。|再见！|真的吗？|走；|好……|嗯",
        "他说：“走吗？”|她没说话。",
        "（见上。）|下一句",
        "太好了！！！|是吗？！|嗯",
        "It works. |It does! |Does it? |Yes",
        "Dr. Smith and Mrs. Lee met J. K. Rowling in the U.S. |They left at 5 p.m. yesterday.",
        "Use tools, e.g. hammers, i.e. these. |Done.",
        "It costs 3.14 and v1.2.3 at a@b.com or https://a.b/c.d?e=f. |Next.",
        "Wait... what? |Well... |Yes",
        'He said "No." |Then "Yes!" he cried. |(Really.) |End',
        "1. First thing\n|2. Second thing\n|(3. third)",
        "See Fig. 3 and No. 5. |Say no. |Then go.",
        "a line that\nwraps here. |And\n|Next",
        "标题\n\n|正文没有句号\n|下一行",
        "今天很好.|明天再说",
        "版本2.0发布了。|iPhone很好!|买吗?|买",
        "  leading。|end",
        "no stop at all",
    ],
)
def test_sentences_end_where_a_reader_ends_them(marked: str) -> None:
    text = marked.replace("|", "")
    assert "|".join(text[a:b] for a, b in iter_sentences(text)) == marked


@given(st.text() | st.lists(PIECES).map("".join))
def test_sentences_cover_the_text(text: str) -> None:
    at = 0
    for start, end in iter_sentences(text):
        assert start == at < end
        at = end
    assert at == len(text)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [".", "\n", "(", "。", " ", '"', "A. ", "a.", "1. ", "\n "])
def test_a_megabyte_of_one_thing_ends(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert sum(end - start for start, end in iter_sentences(text)) == len(text)


@pytest.mark.parametrize(
    "cluster",
    [
        "👩\u200d👩\u200d👧",
        "🇨🇳",
        "👍🏽",
        "e\u0301\u0316",
        "각",
        "\r\n",
        "\ud83d\ude00",
        "❤\ufe0f",
        "की",
    ],
    ids=ascii,
)
def test_a_character_is_not_torn_apart(cluster: str) -> None:
    text = f"ab{cluster}cd"
    for at in range(3, 2 + len(cluster)):
        assert cut_before(text, at, 0) == 2
        assert cut_after(text, at) == 2 + len(cluster)


def test_two_flags_are_two_characters() -> None:
    assert cut_before("🇨🇳🇫🇷", 3, 0) == 2
