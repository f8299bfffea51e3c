"""Tokens in, settled text out: no half characters, nothing past a stop string.

Owns `TextStream`. Knows no tokenizer but a function that decodes ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPLACEMENT: Final = "\ufffd"  # what decoders write for bytes that are no character (yet)
MAX_HELD: Final = 16  # tokens; no character takes more, so what is held then is not one


@final
class TextStream:
    """Turn one row's tokens into pieces of text that are never taken back.

    Text is held while it may be half a character or the start of a stop string.

    Args:
        decode: ids to text, special tokens left out. What it returns for the last few ids must
            not depend on ids long before them; a window of them gives it its left context.
        stop: strings that end the text and are not part of it.

    Example:
        >>> stream = TextStream(lambda ids: bytes(ids).decode(errors="replace"), stop=("!",))
        >>> [stream.push(byte) for byte in "é!".encode()], stream.is_stopped
        (['', 'é', ''], True)
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], *, stop: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stop = tuple(stop)
        self._ids: list[int] = []
        self._from = 0  # the window starts here
        self._read = 0  # ids before this have been turned into text
        self._held = ""  # may be the start of a stop string
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string has come; no more tokens are wanted."""
        return self._is_stopped

    def push(self, token: int) -> str:
        """Take one token and return the text that is settled by it, often one piece, maybe ""."""
        self._ids.append(token)
        return self._cut(self._settled(is_last=False))

    def end(self) -> str:
        """Return what was held, once no more tokens come."""
        if self._is_stopped:
            return ""
        piece = self._cut(self._settled(is_last=True))
        held, self._held = self._held, ""  # empty when `_cut` met a stop string
        return piece + held

    def _settled(self, *, is_last: bool) -> str:
        before = self._decode(self._ids[self._from : self._read])
        text = self._decode(self._ids[self._from :])
        is_open = text.endswith(REPLACEMENT) and len(self._ids) - self._read < MAX_HELD
        if len(text) <= len(before) or (is_open and not is_last):
            return ""
        self._from, self._read = self._read, len(self._ids)
        return text[len(before) :]

    def _cut(self, text: str) -> str:
        text = self._held + text
        ends = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if ends:
            self._is_stopped, self._held = True, ""
            return text[: min(ends)]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        split = len(text) - held
        self._held = text[split:]
        return text[:split]


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that `stop` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
