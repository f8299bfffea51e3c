"""Cleaning: its laws on any text, and its decisions one by one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.pipeline.text import windows
from openautoglm.pipeline.text.cleaning import Repairs, clean, find_reasons, iter_clean

DIRT = (
    "<b> </b> <p> < > a Z 9 | \n \n\n\n\n \t & amp; lt; &lt; gt; &#x3c; &nbsp; \u00a0 \u3000 "
    "\ufeff \u200d \u200c \u200e \u0645 न ् 👩 👧 🏽 \u0301 \u0316 e é Ã © â € ™ \x80 \x99 \x85 \r "
    "\x00 \x1f Ａ ＜ １ ｶ ﾞ ﬁ 鎴 戜 滑 锟 斤 拷 Ö Ð Î Ä 我们 。 <!-- --> <script> "
    '</script> <![CDATA[ ]]> <td> <br/> <pre> <a_href="x"> " = <object> \ud83d \ude00 \U000e0041 '
    "🏴 ï»¿ æˆ‘ ﷺ ̈́ ᄀ ᅡ ﾡ"
)
FRAGMENTS = [f.replace("_", " ").replace("|", " ") for f in DIRT.split(" ")] + ["\n", "    "]
DIRTY_TEXT = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)
ANY_TEXT = st.text() | DIRTY_TEXT
WORDS = st.lists(st.from_regex(r"[A-Za-z0-9]{1,8}|[一二三四五六七八九十]{1,4}", fullmatch=True))
WRAPPERS = (
    "<p>{}</p>",
    "<span class='x'>{}</span>",
    "<!-- note -->{}",
    "<script>var x = 1;</script>{}<br>",
    "&nbsp;{}&#160;",
    "\u3000{}\u00a0",
    "\ufeff{}\u200b",
    "\x00{}\x07",
    "\u202e{}\u202c",
    "&quot;{}&quot;",
)


@given(ANY_TEXT)
@settings(max_examples=400)
def test_a_clean_text_needs_no_cleaning(text: str) -> None:
    cleaned = clean(text)
    assert find_reasons(cleaned) == []
    assert clean(cleaned) == cleaned
    cleaned.encode("utf-8")


@given(ANY_TEXT)
def test_there_is_a_reason_exactly_when_cleaning_changes_something(text: str) -> None:
    assert bool(find_reasons(text)) == (clean(text) != text)


@given(st.lists(st.tuples(st.sampled_from(WRAPPERS), WORDS), max_size=8), st.booleans())
def test_no_word_is_lost(parts: list[tuple[str, list[str]]], wide: bool) -> None:  # noqa: FBT001 - drawn
    words = [word for _, some in parts for word in some]
    dirty = "\n".join(wrapper.format(" ".join(some)) for wrapper, some in parts)
    if wide:
        dirty = re.sub(r"(?<=>)\w+", lambda found: full_width(found[0]), dirty)
    cleaned = clean(dirty)
    at = 0
    for word in words:
        at = cleaned.find(word, at)
        assert at >= 0, word
        at += len(word)


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@given(st.lists(DIRTY_TEXT, max_size=30))
def test_a_stream_is_cleaned_as_the_whole(blocks: list[str]) -> None:
    assert "".join(iter_clean(blocks)) == clean("".join(blocks))


@given(st.lists(DIRTY_TEXT, max_size=30))
def test_windows_depend_on_the_text_and_not_on_its_blocks(blocks: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "WINDOW", 12)
        patch.setattr(windows, "LONGEST", 200)
        text = "".join(blocks)
        whole = list(windows.iter_windows([text]))
        assert list(windows.iter_windows(blocks)) == whole
        assert "".join(whole) == text
        assert "".join(iter_clean(blocks)) == clean(text)


def test_a_window_ends_outside_comments_scripts_and_tags() -> None:
    page = "line\n" * 20_000
    text = f"{page}<!-- {page} -->after<script>{page}</script>end"
    assert clean(text) == f"{page}afterend"


def test_a_switched_off_repair_is_not_made() -> None:
    text = "<b>Ａ&nbsp;</b>\u200b"
    assert clean(text, Repairs(html=False, forms=False)) == "<b>Ａ </b>"
    assert [r.repair for r in find_reasons(text, Repairs(html=False, forms=False))] == [
        "entities",
        "controls",
    ]


def test_a_reason_says_what_and_where() -> None:
    assert [str(reason) for reason in find_reasons("ab\ufeff c&lt;")] == [
        "an HTML character reference at character 5: '&lt;'",
        "an invisible or control character at character 2: U+FEFF ZERO WIDTH NO-BREAK SPACE",
    ]


def test_a_reason_in_a_later_window_counts_from_the_start_of_the_text() -> None:
    text = "plain\n" * 40_000 + "<b>bold</b>"
    (reason,) = find_reasons(text)
    assert (reason.repair, reason.at) == ("html", 240_000)


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        pytest.param("", "", id="empty"),
        pytest.param(" \n\t\u3000\n", "", id="blank"),
        pytest.param("  a   b \n", "a b\n", id="spaces"),
        pytest.param("a\n\n\n\n\n\nb", "a\n\n\nb", id="blank lines"),
        pytest.param("def f():\n    return 1\n", "def f():\n    return 1\n", id="indentation"),
        pytest.param("a\t\tb", "a\t\tb", id="tabs"),
        pytest.param("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne", id="line breaks"),
        pytest.param("　　第一段　完", "第一段 完", id="ideographic spaces"),
        pytest.param("\ufeffpay\u200bpal\u202e\x00", "paypal", id="invisible characters"),
        pytest.param("👩\u200d👧 a\u200db", "👩\u200d👧 ab", id="joiner in emoji only"),
        pytest.param("می\u200cخواهم a\u200cb", "می\u200cخواهم ab", id="non-joiner in Persian only"),
        pytest.param("क्\u200dष", "क्\u200dष", id="joiner in Hindi"),
        pytest.param("שלום\u200f!", "שלום\u200f!", id="direction mark beside Hebrew"),
        pytest.param("\ud83d\ude00 \ud83d", "😀 \ufffd", id="surrogates"),
        pytest.param("hid\U000e0041den", "hidden", id="tag characters"),
        pytest.param("Ｗｉｆｉ６，你好！（ＯＫ）", "Wifi6，你好！（OK）", id="full-width"),
        pytest.param("m² ½ ① ㎡ ℃ Ⅳ … ￥", "m² ½ ① ㎡ ℃ Ⅳ … ￥", id="forms that mean something"),
        pytest.param("ﬁne ｶﾞｲﾄﾞ 𝐛𝐨𝐥𝐝 ⼀ 豈", "fine ガイド bold 一 豈", id="forms that do not"),
        pytest.param("e\u0301", "é", id="composed"),
        pytest.param("a" + "\u0316" * 500, "a" + "\u0316" * 8, id="Zalgo"),
        pytest.param("&amp;amp;lt;3 &#20320;&#x597D;", "<3 你好", id="entities"),
        pytest.param("AT&T ?a=1&copy=2 &nosuch;", "AT&T ?a=1&copy=2 &nosuch;", id="no entities"),
        pytest.param("â€™ cafÃ© ï»¿æˆ‘", "’ café 我", id="UTF-8 as cp1252"),
        pytest.param("wait\x85 \x93so\x94", "wait… “so”", id="cp1252 as Latin-1"),
        pytest.param("ÄãºÃ", "你好", id="GBK as Latin-1"),
        pytest.param("鎴戜滑", "我们", id="UTF-8 as GBK"),
        pytest.param("值锟斤拷锟斤拷", "值\ufffd", id="lost"),
        pytest.param("Ïðèâåò naïve", "Ïðèâåò naïve", id="another encoding is not GBK"),
    ],
)
def test_cleaning_decides(dirty: str, expected: str) -> None:
    assert clean(dirty) == expected


ONE_CHARACTER = [
    "<",
    "(",
    "&",
    " ",
    ".",
    "\n",
    "\u3000",
    "\x00",
    "\u0316\u0301",
    "\ud83d",
    "👩\u200d",
]
REPEATED = [
    "<!--",
    "<script>",
    '<a href="',
    "a<b>",
    "<b\n",
    "<![CDATA[",
    "&amp;",
    "amp;&",
    "锟斤拷",
]


@pytest.mark.slow
@pytest.mark.parametrize("unit", ONE_CHARACTER + REPEATED, ids=ascii)
def test_a_megabyte_of_one_thing_ends(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))  # a quadratic expression would take hours
    assert find_reasons(clean(text)) == []


def test_deep_nesting_is_cut_short_and_stays_clean() -> None:
    cleaned = clean("<" * 1000 + "b>" * 1000)
    assert find_reasons(cleaned) == []
    assert len(cleaned) > 1000
