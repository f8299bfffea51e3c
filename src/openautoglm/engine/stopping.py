"""Where text ends: stop strings, however tokens cut them.

Owns `Stopping`. Knows no tokens beyond handing them to a detokenizer, and no scheduler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Sequence


class Detokenizer(Protocol):
    """Tokens in, text out, whole characters only. `TextStream` is one."""

    def push(self, token: int) -> str:
        """Return the text that is settled by one more token."""

    def end(self) -> str:
        """Return what was held back, when no more tokens come."""


@final
class Stopping:
    """Pass one sequence's text on until a stop string comes.

    Text that may be the start of a stop string is held back. Nothing passed on is taken back. Of
    stop strings that come together, the one that begins first ends the text.

    Args:
        text: turns tokens into text.
        stop: strings that end the text and are not part of it.
        min_tokens: a stop string that is complete before so many tokens is plain text.
    """

    def __init__(self, text: Detokenizer, *, stop: Sequence[str] = (), min_tokens: int = 0) -> None:
        self._text = text
        self._stop = stop
        self._ignored = min_tokens
        self._held = ""
        self.is_stopped = False

    def push(self, token: int) -> str:
        """Take one token; return the text that is settled by it."""
        piece = self._text.push(token)
        if not self._stop:
            return piece
        self._ignored -= 1
        return self._cut(piece) if piece else ""

    def end(self) -> str:
        """Return what was held back, when no more tokens come."""
        if self.is_stopped:
            return ""
        piece = self._text.end()
        piece = self._cut(piece) if piece and self._stop else piece
        held, self._held = self._held, ""
        return piece + held

    def _cut(self, piece: str) -> str:
        text, old = self._held + piece, len(self._held)
        if self._ignored <= 0:
            ends = [text.find(stop, max(0, old - len(stop) + 1)) for stop in self._stop]
            found = [at for at in ends if at >= 0]
            if found:
                self.is_stopped, self._held = True, ""
                return text[: min(found)]
        split = len(text) - max(_begun(text, stop) for stop in self._stop)
        self._held = text[split:]
        return text[:split]


def _begun(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that `stop` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
