"""Where a copied value may start and end: the pieces a source text is cut into.

Owns `Unit`, `pieces`, `find` and `fits`. Knows nothing of grammars.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from itertools import accumulate
from typing import Final, Literal, TypeAlias

Unit: TypeAlias = Literal["word", "character"]
UNITS: Final[tuple[Unit, ...]] = ("word", "character")

# Scripts that are written without spaces, or whose particles hang on the word: cut anywhere.
_DENSE: Final = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1100-\u11ff\u1780-\u17ff"  # Myanmar, Hangul letters, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3100-\u318f\u31f0-\u31ff"  # kana, bopomofo, Hangul
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"  # Han, Hangul, half width
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"  # old kana, rare Han
)
_MARKS: Final = (
    "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff\ufe00-\ufe0f\U000e0100-\U000e01ef"
)
_LETTER: Final = rf"[^\W_{_DENSE}][{_MARKS}]*"
_PIECE: Final = re.compile(
    # 12,500.00: digits in groups of three
    rf"(?:\d{{1,3}}(?:,\d{{3}})+(?![\d,])(?:\.\d+)?(?!{_LETTER})"
    # Smith, A1001, v1.2, 3.14
    rf"|(?:{_LETTER})+(?:\.\d+)*"
    # one character with its marks; emoji joined to one
    rf"|.[{_MARKS}\U0001f3fb-\U0001f3ff]*(?:\u200d.[{_MARKS}\U0001f3fb-\U0001f3ff]*)*)",
    re.DOTALL,
)


def pieces(source: str, unit: Unit) -> tuple[str, ...]:
    """Cut a text into the smallest parts that are never split; they join to the text.

    "character" is one code point each. "word" keeps together a run of letters and digits, a
    number with its separators, and a character with its accents; scripts without spaces between
    words (Han, kana, Hangul, Thai, …) are cut at every character.

    Example:
        >>> pieces("Smith付了12,500.00元", "word")
        ('Smith', '付', '了', '12,500.00', '元')
    """
    return tuple(source) if unit == "character" else tuple(_PIECE.findall(source))


def find(value: str, source: str, unit: Unit) -> int | None:
    """Return where `value` first occurs as whole pieces of `source`, or None.

    With "word" a value that starts or ends with white space does not occur.
    """
    if not value or (unit == "word" and value != value.strip()):
        return None
    at = source.find(value)
    if unit == "character" or at < 0:
        return at if at >= 0 else None
    ends = _word_ends(source)
    while at >= 0 and not (at in ends and at + len(value) in ends):
        at = source.find(value, at + 1)
    return at if at >= 0 else None


@lru_cache(maxsize=8)
def _word_ends(source: str) -> frozenset[int]:
    """Return where a word of a source may start or end; kept, as one answer asks many times."""
    return frozenset((0, *accumulate(len(piece) for piece in pieces(source, "word"))))


def fits(cut: tuple[str, ...], unit: Unit, shortest: int, longest: int | None) -> bool:
    """Say whether any value of that many characters can be copied."""
    ends = [0, *accumulate(len(piece) for piece in cut)]
    solid = [unit == "character" or not piece.isspace() for piece in cut]
    closing = [len(cut)] * (len(cut) + 1)  # closing[i]: first solid piece at i or after it
    for i in range(len(cut) - 1, -1, -1):
        closing[i] = i if solid[i] else closing[i + 1]
    for i, is_solid in enumerate(solid):
        if not is_solid:
            continue
        reach = bisect_left(ends, ends[i] + max(shortest, 1))
        if reach > len(cut):
            return False
        last = closing[reach - 1]
        if last < len(cut) and (longest is None or ends[last + 1] - ends[i] <= longest):
            return True
    return False
