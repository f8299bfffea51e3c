"""Segments: they give the text back, they fit, and counting them is cheap."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import InvalidParameterError
from openautoglm.pipeline.text.chunks import iter_segments

TEXTS = st.text() | st.lists(
    st.sampled_from(
        ["你好。", "世界，", "A word. ", "long ", "word", "\n", "👩\u200d👧", "e\u0301", "3.14"]
    )
).map("".join)
BUDGETS = st.integers(1, 30)


def count_words(text: str) -> int:
    return len(re.findall(r"[A-Za-z0-9.]+|\S", text))


@given(TEXTS, BUDGETS)
def test_segments_concatenate_to_the_text(text: str, budget: int) -> None:
    segments = list(iter_segments(text, count_words, max_tokens=budget))
    assert "".join(s.text for s in segments) == text
    assert all(text[s.start : s.end] == s.text != "" for s in segments)


@given(TEXTS, st.integers(2, 30), st.data())
def test_overlapping_segments_leave_no_gap_and_always_move_on(
    text: str, budget: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, budget - 1))
    start = at = 0
    for s in iter_segments(text, count_words, max_tokens=budget, overlap_tokens=overlap):
        assert text[s.start : s.end] == s.text
        assert start <= s.start <= at < s.end
        assert count_words(text[s.start : at]) <= overlap
        start, at = s.start, s.end
    assert at == len(text)


@given(TEXTS, st.integers(8, 30))
def test_every_segment_fits(text: str, budget: int) -> None:
    for s in iter_segments(text, len, max_tokens=budget, overlap_tokens=3):
        assert len(s.text) <= budget or not re.search(r"[\w\s]{2}", s.text)


def test_a_count_that_is_more_than_the_sum_of_its_parts_is_noticed() -> None:
    def counts_joints(text: str) -> int:
        return len(text) + 3 * text.count(". ")

    text = "One. Two. Six. Ten. Off. " * 20
    for s in iter_segments(text, counts_joints, max_tokens=24, overlap_tokens=9):
        assert counts_joints(s.text) <= 24


def test_a_long_sentence_is_split_after_a_clause_then_at_a_space_then_anywhere() -> None:
    def split(text: str, budget: int) -> list[str]:
        return [s.text for s in iter_segments(text, len, max_tokens=budget)]

    assert split("一二三四，五六七八，九十", 6) == ["一二三四，", "五六七八，", "九十"]
    assert split("aaaa bbbb cccc", 6) == ["aaaa ", "bbbb ", "cccc"]
    assert split("abcdefgh", 3) == ["abc", "def", "gh"]
    assert split("👩\u200d👧👩\u200d👧", 4) == ["👩\u200d👧", "👩\u200d👧"]


def test_overlap_repeats_whole_sentences_or_the_end_of_one() -> None:
    text = "一。二。三。四。"
    parts = [s.text for s in iter_segments(text, len, max_tokens=4, overlap_tokens=2)]
    assert parts == ["一。二。", "二。三。", "三。四。"]
    text = "one two three. four five six."
    parts = [s.text for s in iter_segments(text, count_words, max_tokens=4, overlap_tokens=1)]
    assert parts == ["one two three. ", "three. four five six."]


def test_an_empty_text_has_no_segments() -> None:
    assert list(iter_segments("", len, max_tokens=1)) == []


@pytest.mark.parametrize(("budget", "overlap"), [(0, 0), (5, 5), (5, -1)])
def test_numbers_that_leave_no_room_are_refused(budget: int, overlap: int) -> None:
    with pytest.raises(InvalidParameterError, match=r"at least 1|overlap_tokens"):
        iter_segments("a", len, max_tokens=budget, overlap_tokens=overlap)


@pytest.mark.parametrize("unit", ["A word. ", "没有句号的长句，", "x", "(", " ", "\u0301"])
def test_the_tokenizer_reads_the_text_about_twice(unit: str) -> None:
    read = 0

    def counting(text: str) -> int:
        nonlocal read
        read += len(text)
        return len(text) // 3 + 1

    text = unit * (300_000 // len(unit))
    assert sum(1 for _ in iter_segments(text, counting, max_tokens=200)) > 100
    assert read < 4 * len(text)
