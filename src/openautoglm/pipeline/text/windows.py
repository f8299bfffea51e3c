"""Cut a stream of text into windows that can be cleaned one by one.

Owns where it is safe to cut. Where the cuts fall depends on the text alone, not on its blocks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WINDOW = 1 << 16  # characters in a window, at least
LONGEST = 1 << 22  # and at most, should no safe line break come before

_CLOSERS = tuple(
    (opener, re.compile(closer, re.IGNORECASE))
    for opener, closer in (
        ("<!--", "-->"),
        ("<script", "</script"),
        ("<SCRIPT", "</script"),
        ("<style", "</style"),
        ("<STYLE", "</style"),
        ("<", "[>\n]"),
    )
)


def iter_windows(blocks: Iterable[str]) -> Iterator[str]:
    """Yield the same text in windows that end at a line break outside comments, scripts and tags.

    A text without such a break for `LONGEST` characters is cut at a space. Holds at most two
    windows of that length.
    """
    buffer, at = "", 0
    for block in _slices(blocks):
        buffer, at = buffer[at:] + block, 0
        while (end := _safe_end(buffer, at)) > 0:
            yield buffer[at:end]
            at = end
    if at < len(buffer):
        yield buffer[at:]


def _slices(blocks: Iterable[str]) -> Iterator[str]:
    """Yield blocks of one size, so that neither tiny nor huge ones cost time."""
    held: list[str] = []
    size = 0
    for block in blocks:
        for start in range(0, len(block), LONGEST):
            piece = block[start : start + LONGEST]
            held.append(piece)
            size += len(piece)
            if size >= 4 * WINDOW:
                yield "".join(held)
                held, size = [], 0
    yield "".join(held)


def _safe_end(buffer: str, start: int) -> int:
    """Return where the window from `start` ends, 0 when that takes more text."""
    limit = start + LONGEST
    since = start
    end = buffer.find("\n", start + WINDOW, limit) + 1
    while end:
        closer = _open_at(buffer, since, end)
        if closer is None:
            return end
        close = closer.search(buffer, end, limit)
        since = close.start() if close else limit
        end = buffer.find("\n", since, limit) + 1
    if len(buffer) < limit:
        return 0
    last = max(buffer.rfind("\n", start, limit), buffer.rfind(" ", limit - WINDOW, limit))
    return last + 1 or limit


def _open_at(buffer: str, start: int, end: int) -> re.Pattern[str] | None:
    """Return what would close the comment, script or tag that is open at `end`, None if none is."""
    for opener, closer in _CLOSERS:
        opened = buffer.rfind(opener, start, end)
        if opened >= 0 and not closer.search(buffer, opened, end - 1):
            return closer
    return None
