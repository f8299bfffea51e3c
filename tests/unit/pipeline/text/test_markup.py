"""HTML: what is, what only looks like it, and what it becomes."""

from __future__ import annotations

import re
import warnings

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.pipeline.text.markup import break_markup, strip_markup

WORD = st.from_regex(r"[a-z0-9一-龥]{1,6}", fullmatch=True)
ATTRIBUTE = st.sampled_from(["", ' class="a > b"', " id=x", " hidden", " data-x='<p>'", " a='1'/"])
HTML = st.recursive(
    WORD,
    lambda inner: st.builds(
        lambda name, attribute, parts: f"<{name}{attribute}>{' '.join(parts)}</{name}>",
        st.sampled_from(["p", "DIV", "b", "span", "td", "h1", "li", "a"]),
        ATTRIBUTE,
        st.lists(inner, max_size=4),
    ),
)


@given(HTML)
def test_the_words_are_those_a_parser_finds(html: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a word alone reminds the parser of a file's name
        parsed = BeautifulSoup(html, "html.parser").get_text()
    assert "".join(strip_markup(html).split()) == "".join(parsed.split())


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "x<y>z",
        "I <3 you",
        "mail <a@b.c> or <mark@example.org>",
        "<https://example.org/a>",
        "std::vector<int> v; List<object> o; Map<String, A> m; Foo<B>",
        "#include <stdio.h>",
        "if (a<b && c>d) i<p;",
        "for (i=0;i<a.length;i++) { b>0 }",
        "if a<b and c>d",
        "<your-name> <Button> <?php echo 1 ?> <T>",
        "->, -->, ]]>",
    ],
)
def test_what_is_not_html_stays(text: str) -> None:
    assert strip_markup(text) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("<div>\n  <p> hi </p>\n</div>\n", "hi "),
        ("one<br/>two<BR>three", "one\ntwo\nthree"),
        ("wo<b>r</b>d", "word"),
        ("<b>unclosed", "unclosed"),
        ("a<b>bold</b>", "abold"),
        ("<tr><td>a</td><td></td><td>b</td></tr>\n<tr><td>c<td>d</tr>", "a\t\tb\nc\td"),
        ("<pre>\n    code\n</pre>", "    code\n"),
        ("x<!-- a <b> --> y<!-- cut off", "x y cut off"),
        ("<style>p{}</style>a<script>if (a<b) '</b>'</script>b", "ab"),
        ("a<script>cut off", "acut off"),
        ("<!DOCTYPE html><?xml version='1.0'?><![CDATA[a]]>", "a"),
        ("<a href='x>y' title=\"<b>\">link</a>", "link"),
        ("<input disabled value=1><img src=a.png alt=x>", ""),
        ("<o:p>word</o:p>", "word"),
    ],
)
def test_html_becomes_lines(html: str, text: str) -> None:
    assert strip_markup(html) == text


@given(HTML)
def test_broken_markup_is_markup_no_more(html: str) -> None:
    broken = break_markup(html)
    assert strip_markup(broken) == broken
    assert re.sub(r"\s", "", broken) == re.sub(r"\s", "", html)
