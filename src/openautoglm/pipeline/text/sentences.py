"""Where sentences end, in Chinese and English.

Owns the boundaries. Spans cover the text: what stands between two sentences belongs to the first.
Knows nothing of tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLOSERS = r"""["'”’」』》〉）】〕〗］｝)\]}»]"""
_STOP = re.compile(
    rf"""(?:
        (?P<wide>[。！？｡；‼⁇⁈⁉।॥؟۔]++[。！？；…!?.]*+|…++[。！？!?]*+)
      | (?P<ascii>[.!?]++[！？。…]*+)
    ){_CLOSERS}*+
      | (?P<line>\n)
    """,
    re.VERBOSE,
)
_SPACE = re.compile(r"\s*+")
_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff]")
_LOOK_BACK = 64  # characters that decide about a full stop; longer words than that are none

_TITLES = "Mr Mrs Ms Mx Dr Prof Sr Jr St Mt Ft Gen Col Capt Lt Sgt Maj Rev Hon Gov Sen Rep Messrs"
_IN_RUNNING_TEXT = "vs cf viz al ca approx incl excl resp esp aka misc dept est assn bros"
_ABBREVIATIONS = frozenset(f"{_TITLES} {_IN_RUNNING_TEXT}".split())
_NUMBERED = "no nos fig figs eq eqs sec art tab ref app ch vol vols p pp"
_BEFORE_NUMBER = frozenset(_NUMBERED.split())
_DOTTED = re.compile(r"(?:[A-Za-z]\.)++")  # e.g., U.S., p.m., the J. of J. Smith
_LIST_NUMBER = re.compile(r"[ \t]*+[(（\[]?+(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})\.")
_STARTER = re.compile(
    r"\s++(?:The|This|That|These|Those|There|It|He|She|They|We|You|His|Her|Their|Its|Our|But|And|If"
    r"|In|On|At|When|While|However|After|Before|As|For|What|Who|Why|How)\b"
)


def iter_sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each sentence; together they cover `text` without gap or overlap.

    A line break ends a sentence unless a line of English prose merely wraps there. Takes linear
    time and no memory that grows with the text.

    Example:
        >>> text = 'Dr. Li paid $3.14. "Really?" 他说：“是的。”然后走了'
        >>> [text[start:end] for start, end in iter_sentences(text)]
        ['Dr. Li paid $3.14. ', '"Really?" ', '他说：“是的。”', '然后走了']
    """
    start = at = _end_of_space(text, 0)
    first = 0  # what is blank in front belongs to the first sentence
    while stop := _STOP.search(text, at):
        at = stop.end()
        if _ends_a_sentence(stop, start):
            start = at = _end_of_space(text, at)
            yield first, start
            first = start
    if first < len(text):
        yield first, len(text)


def _end_of_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _ends_a_sentence(stop: re.Match[str], start: int) -> bool:
    text, end = stop.string, stop.end()
    if stop["line"]:
        return not _wraps(text, stop.start())
    if stop["wide"]:
        return stop["wide"][0] != "…" or _starts_a_sentence(text, end)
    following = text[end : end + 1]
    if following and not following.isspace() and not _WIDE.match(following):
        return False
    if stop["ascii"] == "." and not _is_full_stop(stop, start):
        return False
    return _starts_a_sentence(text, end)


def _starts_a_sentence(text: str, end: int) -> bool:
    """Say whether what follows may begin a sentence: anything but a small letter on this line."""
    for character in text[end : end + _LOOK_BACK]:
        if character == "\n":
            return True
        if not character.isspace():
            return not ("a" <= character <= "z")
    return True


def _is_full_stop(stop: re.Match[str], start: int) -> bool:
    """Say whether a single dot ends a sentence and not an abbreviation or a list's number."""
    text, after = stop.string, stop.start() + 1
    before = text[max(start, after - _LOOK_BACK) : after]
    if _LIST_NUMBER.fullmatch(before, before.rfind("\n") + 1):
        return False
    following = text[after : after + 1]
    if following and _WIDE.match(following):
        return not before[-2:-1].isdigit()
    word = _last_word(before)
    if word[:-1].lower() in _BEFORE_NUMBER:
        return not text[after : after + 2].strip().isdigit()
    if not following or following == "\n":
        return True
    if _DOTTED.fullmatch(word):
        return _STARTER.match(text, after) is not None
    return word[:-1] not in _ABBREVIATIONS


def _last_word(before: str) -> str:
    """Return the letters and dots that `before` ends with, "" if they are part of something else.

    "f." at the end of an address is no initial.
    """
    start = len(before)
    while start and (before[start - 1] == "." or "a" <= before[start - 1].lower() <= "z"):
        start -= 1
    stands_alone = not start or before[start - 1] in " \t\n([\"'" or not before[start - 1].isascii()
    return before[start:] if stands_alone else ""


def _wraps(text: str, at: int) -> bool:
    """Say whether the line break at `at` only wraps a line: small letters on both sides."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    return ("a" <= before <= "z" or before == ",") and "a" <= after <= "z"
