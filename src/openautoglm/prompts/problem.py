"""A fault in a template as data: where it is, what it is, how to mend it.

Knows positions and excerpts; knows nothing of the grammar.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

_LINE_END = re.compile(r"\r\n|\r|\n")
_EXCERPT = 60  # code points of a line shown around the fault


class Kind(StrEnum):
    """Every fault there is; the same words in every language (spec/golden/README.md)."""

    LONE_OPEN = "lone_open_brace"
    LONE_CLOSE = "lone_close_brace"
    EMPTY = "empty_field"
    NUMBERED = "numbered_field"
    SPACED = "spaces_in_field"
    ACCESS = "attribute_or_index"
    CONVERSION = "conversion"
    FORMAT_SPEC = "format_spec"
    NOT_A_NAME = "not_a_name"
    NOT_NORMAL = "name_not_normalised"
    FULL_WIDTH = "full_width_brace"
    JSON = "json_not_escaped"
    UNDECLARED = "undeclared_variable"
    UNUSED = "unused_variable"
    DUPLICATE = "duplicate_variable"
    BAD_VARIABLE = "bad_variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault in one text.

    Attributes:
        kind: which fault.
        start: index of its first code point in the text; None when it is not in the text.
        end: index after its last code point.
        says: what is wrong, lower case.
        fix: what to write instead.
    """

    kind: Kind
    says: str
    fix: str
    start: int | None = None
    end: int | None = None

    def place(self, text: str) -> tuple[int, int] | None:
        """Return the line and column, both from 1, or None when the fault is not in the text."""
        return None if self.start is None else place(text, self.start)


def place(text: str, index: int) -> tuple[int, int]:
    r"""Return line and column of a position, both from 1; a column is one Unicode code point.

    A line ends at `\n`, `\r\n` or `\r`, and nowhere else.

    Example:
        >>> place("one\r\ntwo {", 9)
        (2, 5)
    """
    line, begin = 1, 0
    for end in _LINE_END.finditer(text):
        if end.end() > index:
            break
        line, begin = line + 1, end.end()
    return line, index - begin + 1


def excerpt(text: str, start: int, end: int, *, indent: int) -> str:
    """Return the line of a fault with carets under it, at most 60 code points wide.

    Args:
        text: the whole text.
        start: where the fault begins.
        end: where it ends; carets stop at the end of the line.
        indent: how many columns stand before the line where it will be shown.

    Example:
        >>> print("got: " + excerpt("ask {0} now", 4, 7, indent=5))
        got: ask {0} now
                 ^^^
    """
    begin = max((m.end() for m in _LINE_END.finditer(text, 0, start)), default=0)
    closing = _LINE_END.search(text, start)
    stop = closing.start() if closing else len(text)
    first = max(begin, start - _EXCERPT // 2)
    last = min(stop, first + _EXCERPT)
    before = ("…" if first > begin else "") + _shown(text[first:start])
    marked = _shown(text[start : min(end, last)])
    after = _shown(text[min(end, last) : last]) + ("…" if last < stop else "")
    carets = "^" * max(1, _width(marked))
    return f"{before}{marked}{after}\n{' ' * (indent + _width(before))}{carets}"


def _shown(text: str) -> str:
    return "".join(
        "·" if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else char
        for char in text
    )


def _width(text: str) -> int:
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
