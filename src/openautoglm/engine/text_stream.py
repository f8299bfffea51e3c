"""Tokens in, settled text out: no half characters.

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

    Text is held while it may be half a character.

    Args:
        decode: ids to text, special tokens left out. What it returns for the last few ids must
            not depend on ids long before them; a window of them gives it its left context.

    Example:
        >>> stream = TextStream(lambda ids: bytes(ids).decode(errors="replace"))
        >>> [stream.push(byte) for byte in "é!".encode()]
        ['', 'é', '!']
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._from = 0  # the window starts here
        self._read = 0  # ids before this have been turned into text

    def push(self, token: int) -> str:
        """Take one token and return the text that is settled by it, often one piece, maybe ""."""
        self._ids.append(token)
        return self._settled(is_last=False)

    def end(self) -> str:
        """Return what was held, once no more tokens come."""
        return self._settled(is_last=True)

    def _settled(self, *, is_last: bool) -> str:
        before = self._decode(self._ids[self._from : self._read])
        text = self._decode(self._ids[self._from :])
        is_open = text.endswith(REPLACEMENT) and len(self._ids) - self._read < MAX_HELD
        if len(text) <= len(before) or (is_open and not is_last):
            return ""
        self._from, self._read = self._read, len(self._ids)
        return text[len(before) :]
