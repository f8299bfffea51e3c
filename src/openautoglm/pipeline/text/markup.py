"""Take the HTML out of a text and keep its lines.

Owns what a tag becomes: nothing, a line break, or a tab between cells. `tags` decides what is HTML.
"""

from __future__ import annotations

import re
from typing import final

from openautoglm.pipeline.text.tags import BLOCKS, CELLS, VERBATIM, Markup, iter_markup

_OPENING = re.compile(r"<(?=[A-Za-z/!?])")
_REST_OF_LINE = re.compile(r"[ \t]*+\n")


def strip_markup(text: str) -> str:
    r"""Return `text` without HTML; what only looks like it stays.

    Comments, scripts and style sheets go with their content. A block tag breaks the line, a cell of
    a table ends with a tab, any other tag leaves nothing.

    Example:
        >>> strip_markup("<p>if a < b:<br/>x<y>z <3</p><p>mail <a@b.c>&nbsp;<b>now</b></p>")
        'if a < b:\nx<y>z <3\nmail <a@b.c>&nbsp;now'
    """
    if "<" not in text:
        return text
    lines = _Lines()
    at = 0
    for piece in iter_markup(text):
        lines.write(text[at : piece.start])
        lines.mark(piece)
        at = piece.end
    if not at:
        return text
    lines.write(text[at:])
    return lines.text()


def break_markup(text: str) -> str:
    """Return `text` with a space after every `<` that could begin HTML, so that none does."""
    return _OPENING.sub("< ", text)


@final
class _Lines:
    """Text between tags, put into lines: breaks are written when something follows them."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._gap = ""
        self._is_line_empty = True
        self._is_after_block = False
        self._skips_space = False

    def write(self, piece: str) -> None:
        if self._is_after_block and (rest := _REST_OF_LINE.match(piece)):
            piece = piece[rest.end() :]
            self._is_after_block = False
        if self._skips_space:
            piece = piece.lstrip(" \t")
        if not piece:
            return
        if self._gap:
            self._pieces.append(self._gap)
            self._is_line_empty = self._gap == "\n"
        self._gap, self._is_after_block, self._skips_space = "", False, False
        self._pieces.append(piece)
        last_line = piece[piece.rfind("\n") + 1 :]
        starts_afresh = len(last_line) < len(piece) or self._is_line_empty
        self._is_line_empty = starts_afresh and not last_line.strip()

    def mark(self, piece: Markup) -> None:
        if piece.name in BLOCKS:
            self._end_line()
            self._skips_space = piece.name not in VERBATIM or piece.closes
        elif piece.name in CELLS:
            self._end_cell(closes=piece.closes)
            self._skips_space = True

    def text(self) -> str:
        return "".join(self._pieces)

    def _end_line(self) -> None:
        if not self._is_line_empty:
            self._gap = "\n"
        elif self._pieces:  # drop the tag's own indentation
            self._pieces[-1] = self._pieces[-1].rstrip(" \t")
        self._is_after_block = True

    def _end_cell(self, *, closes: bool) -> None:
        if self._is_line_empty or self._gap == "\n" or (self._gap and not closes):
            return
        self._gap += "\t"
