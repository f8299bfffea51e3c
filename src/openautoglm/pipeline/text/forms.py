"""The part of Unicode's NFKC that changes how a text looks and never what it says.

Owns the table. Full-width letters, ligatures and half-width katakana become the ordinary ones;
superscripts, fractions, circled numbers, units and Chinese punctuation stay.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

MOST_MARKS = 8  # on one letter; no language writes that many, and sorting more is quadratic

_KEPT_WIDE = "！（），：；？～＂＇＜＞＆"  # punctuation of Chinese, and what could become markup
_RANGES = (
    (0xFF01, 0xFF5E),  # full-width ASCII
    (0xFF61, 0xFFDC),  # half-width katakana and hangul
    (0xFB00, 0xFB06),  # ff fi fl ffi ffl
    (0xFB13, 0xFB17),  # Armenian ligatures
    (0xFB50, 0xFDFB),  # Arabic letters by position
    (0xFE80, 0xFEFC),
    (0x1D400, 0x1D7FF),  # letters styled with mathematical alphabets
    (0x2E9F, 0x2FD5),  # radicals, which PDF files use for the characters themselves
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_LONGEST = 3  # a "ligature" of more letters is a symbol, U+FDFA


def ordinary_forms(text: str) -> str:
    r"""Return `text` with presentation forms as ordinary letters, composed (NFC).

    CJK compatibility ideographs become the unified ideograph, as in every NFC text. More than
    `MOST_MARKS` combining marks on one letter are cut to that many.

    Example:
        >>> ordinary_forms("ＡＩ２．０，ﬁne ｶﾞ m² ½ ① cafe\u0301")
        'AI2.0，fine ガ m² ½ ① café'
    """
    if text.isascii():
        return text
    table = _table()
    for form, pile in _patterns()[: 2 if _ASTRAL.search(text) else 1]:
        text = form.sub(lambda found: table[found[0]], text)
        text = pile.sub(r"\1", text)
    if unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", text)


@cache
def _table() -> dict[str, str]:
    forms: dict[str, str] = {}
    for first, last in _RANGES:
        for character in map(chr, range(first, last + 1)):
            plain = _plain(character)
            if character not in _KEPT_WIDE and plain != character and " " not in plain:
                forms[character] = plain
    return forms


def _plain(character: str) -> str:
    if "HALFWIDTH HANGUL" in unicodedata.name(character, ""):
        return chr(int(unicodedata.decomposition(character).split()[-1], 16))
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) <= _LONGEST else character


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    """Return (a form, a pile of marks) for the basic plane, then for texts with other planes.

    A character class is many times faster when it keeps to the basic plane.
    """
    forms = sorted(map(ord, _table()))
    marks = [code for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code))]
    basic = range(0x10000)
    return (
        _pair([n for n in forms if n in basic], [n for n in marks if n in basic]),
        _pair([n for n in forms if n not in basic], marks),
    )


def _pair(forms: list[int], marks: list[int]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    some = _as_class(marks)
    pile = re.compile(f"([{some}]{{{MOST_MARKS}}})[{some}]++")
    return re.compile(f"[{_as_class(forms)}]"), pile


def _as_class(codes: list[int]) -> str:
    """Return the inside of a character class that holds `codes`, which are sorted."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in spans)
