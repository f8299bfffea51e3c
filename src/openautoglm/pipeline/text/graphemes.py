"""Where a text may be cut without tearing a character apart.

Owns an approximation of Unicode's grapheme clusters (UAX 29): combining marks, variation selectors,
joined emoji, skin tones, flags, Hangul jamo, CR LF and surrogate pairs stay whole. Prepended marks
and the Indic conjunct rule are not covered.
"""

from __future__ import annotations

import unicodedata

_LONGEST = 64  # code points; a longer cluster is cut, it is an attack and no character
_ZWJ = "\u200d"


def cut_before(text: str, at: int, low: int) -> int:
    """Return the last offset in (low, at] where `text` may be cut; `at` if there is none near.

    Example:
        >>> cut_before("ab👩‍👧", 4, 0)
        2
    """
    if at >= len(text):
        return len(text)
    for cut in range(at, max(low, at - _LONGEST), -1):
        if not _joins(text, cut):
            return cut
    return at


def cut_after(text: str, at: int) -> int:
    """Return the first offset from `at` on where `text` may be cut."""
    for cut in range(at, min(len(text), at + _LONGEST)):
        if not _joins(text, cut):
            return cut
    return min(len(text), at + _LONGEST)


def _joins(text: str, at: int) -> bool:
    """Say whether the characters around offset `at` belong together."""
    before, after = text[at - 1], text[at]
    if before == _ZWJ or (before == "\r" and after == "\n"):
        return True
    if after.isascii():
        return False
    if "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff":
        return True
    if _is_flag_letter(before) and _is_flag_letter(after):
        return _flag_letters_before(text, at) % 2 == 1
    return _extends(after) or (_is_jamo(before) and _is_jamo(after))


def _extends(character: str) -> bool:
    return (
        character == _ZWJ
        or unicodedata.category(character)[0] == "M"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


def _is_jamo(character: str) -> bool:
    return "\u1100" <= character <= "\u11ff" or "\uac00" <= character <= "\ud7ff"


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_letters_before(text: str, at: int) -> int:
    count = 0
    while count < min(at, _LONGEST) and _is_flag_letter(text[at - 1 - count]):
        count += 1
    return count
