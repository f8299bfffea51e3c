"""One kind of space, no trailing ones, no piles of blank lines.

Owns what odd whitespace is. Keeps tabs, the indentation of lines and single line breaks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_BLANK_LINES = 2

_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_ODD_SPACE = re.compile(f"[{_SPACES}]")
_PARAGRAPH_INDENT = re.compile(rf"^[ \t]*+\u3000[ \t{_SPACES}]*+", re.MULTILINE)
_RUN_INSIDE_A_LINE = re.compile(r"(?<=[^ \t\n]) {2,}+")
_SPACE_BEFORE_BREAK = re.compile(r"[ \t](?=\n|\Z)")


def tidy_lines(text: str) -> str:
    r"""Return `text` with ASCII spaces only, single ones inside a line and none at its end.

    The ideographic indentation of a paragraph goes; that of code, in spaces or tabs, stays.

    Example:
        >>> tidy_lines("　　第一段　 完 \n    x  =  1\t\n")
        '第一段 完\n    x = 1\n'
    """
    if not text.isascii():
        text = _PARAGRAPH_INDENT.sub("", text)
        text = _ODD_SPACE.sub(" ", text)
    text = _RUN_INSIDE_A_LINE.sub(" ", text)
    if _SPACE_BEFORE_BREAK.search(text):
        text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return text


def join_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """Yield tidy pieces so that, joined, they have no pile of blank lines and no blank ends.

    One line break at the very end is kept: a text file has one.
    """
    started, breaks = False, 0
    for piece in pieces:
        body = piece.strip("\n") if started else piece.strip("\n \t")
        if not body:
            breaks += piece.count("\n")
            continue
        if started:
            breaks += len(piece) - len(piece.lstrip("\n"))
            yield "\n" * min(breaks, MOST_BLANK_LINES + 1)
        yield _PILE.sub("\n" * (MOST_BLANK_LINES + 1), body)
        started = True
        breaks = len(piece) - len(piece.rstrip("\n"))
    if started and breaks:
        yield "\n"


_PILE = re.compile(rf"\n{{{MOST_BLANK_LINES + 2},}}+")


def tidy(text: str) -> str:
    r"""Return the whole text tidied: `tidy_lines`, then `join_pieces`.

    Example:
        >>> tidy("\n  a\n\n\n\n\nb\n\n")
        'a\n\n\nb\n'
    """
    return "".join(join_pieces([tidy_lines(text)]))
