"""Pack sentences into segments that a model has room for.

Owns `Segment`, the packing, the overlap and how a sentence too long is split. Tokens are counted by
a function that the caller brings; each sentence is counted once and each finished segment once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, final

import msgspec

from openautoglm.errors import InvalidParameterError
from openautoglm.pipeline.text.graphemes import cut_after, cut_before
from openautoglm.pipeline.text.sentences import iter_sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOPELESS = 16  # a sentence of so many characters for each token allowed is not even counted
_GUESS = 4  # characters to a token, until a count says better
_CAUTION = 0.9  # of an estimate, as tokens are not spread evenly
_CLAUSE_END = re.compile(r"(?:[，、：；)）\]」』”]|—++|[,;:](?=\s))\s*+")
_SPACE = re.compile(r"\s++")


class Segment(msgspec.Struct, frozen=True):
    """A piece of a text: `source[start:end] == text`, offsets in characters."""

    text: str
    start: int
    end: int


class _Unit(NamedTuple):
    """A sentence or a part of one, and its tokens."""

    start: int
    end: int
    tokens: int


def check_budget(max_tokens: int, overlap_tokens: int) -> None:
    """Check that segments of that size and overlap can move through a text.

    Raises:
        InvalidParameterError: they cannot.
    """
    if max_tokens < 1:
        raise InvalidParameterError(
            "`max_tokens` must be at least 1", got=max_tokens, fix="give each segment some room"
        )
    if not 0 <= overlap_tokens < max_tokens:
        raise InvalidParameterError(
            "`overlap_tokens` must be from 0 to below `max_tokens`",
            got=f"{overlap_tokens}, and max_tokens={max_tokens}",
            fix="lower overlap_tokens or raise max_tokens",
        )


def iter_segments(
    text: str, count_tokens: Callable[[str], int], *, max_tokens: int, overlap_tokens: int = 0
) -> Iterator[Segment]:
    """Yield segments of whole sentences, each of at most `max_tokens`.

    Without overlap they concatenate to `text`. With it, a segment begins with up to
    `overlap_tokens` from the end of the one before. A sentence that is too long is split after a
    clause, else at a space, else between characters; only a single character (an emoji, say) that
    takes more tokens than allowed exceeds the budget, as a segment of its own.

    Sentences are packed while the sum of their counts fits, which for most tokenizers is never
    less than the count of the whole; where it is, the finished segment's own count decides.

    Args:
        text: what to split.
        count_tokens: returns the tokens of a string.
        max_tokens: most tokens of a segment.
        overlap_tokens: most tokens that a segment repeats.

    Raises:
        InvalidParameterError: the two numbers leave no room.

    Example:
        >>> [s.text for s in iter_segments("One. Two. Three.", len, max_tokens=10)]
        ['One. Two. ', 'Three.']
    """
    check_budget(max_tokens, overlap_tokens)
    return _Packer(text, count_tokens, max_tokens, overlap_tokens).segments()


@final
class _Packer:
    """Units on their way into the segment that is being filled."""

    def __init__(
        self, text: str, count_tokens: Callable[[str], int], max_tokens: int, overlap_tokens: int
    ) -> None:
        self._text = text
        self._count_tokens = count_tokens
        self._max = max_tokens
        self._overlap = overlap_tokens
        self._held: list[_Unit] = []
        self._repeated = 0  # how many of them the segment before had already
        self._total = 0  # tokens held

    def segments(self) -> Iterator[Segment]:
        for unit in self._units():
            while self._has_news and self._total + unit.tokens > self._max:
                yield self._flush()
            while self._held and self._total + unit.tokens > self._max:
                self._forget_first()
            self._held.append(unit)
            self._total += unit.tokens
        while self._has_news:
            yield self._flush()

    @property
    def _has_news(self) -> bool:
        return len(self._held) > self._repeated

    def _forget_first(self) -> None:
        self._total -= self._held.pop(0).tokens
        self._repeated -= 1

    def _flush(self) -> Segment:
        """Take the longest segment that fits off the front, at least one new unit."""
        count = len(self._held)
        while count > 1 and self._count(self._held[0].start, self._held[count - 1].end) > self._max:
            if self._repeated:
                self._forget_first()
            count -= 1
        done, rest = self._held[:count], self._held[count:]
        tail = self._tail(done)
        self._held, self._repeated = tail + rest, len(tail)
        self._total = sum(unit.tokens for unit in self._held)
        start, end = done[0].start, done[-1].end
        return Segment(self._text[start:end], start, end)

    def _tail(self, done: list[_Unit]) -> list[_Unit]:
        """Return what the next segment repeats: whole units, else the end of the last one."""
        tail: list[_Unit] = []
        room = self._overlap
        for unit in reversed(done):
            if not room or unit.tokens > room:
                break
            tail.insert(0, unit)
            room -= unit.tokens
        return tail or (self._end_of(done[-1]) if room else [])

    def _end_of(self, unit: _Unit) -> list[_Unit]:
        """Return as much of the unit's end as the overlap allows, without half a word."""
        wanted = int((unit.end - unit.start) * self._overlap / unit.tokens)
        for length in (2 * wanted, wanted, wanted // 2):
            start = self._first_boundary(max(unit.start, unit.end - length), unit.end)
            if start < unit.end and (tokens := self._count(start, unit.end)) <= self._overlap:
                return [_Unit(start, unit.end, tokens)]
        return []

    def _first_boundary(self, start: int, end: int) -> int:
        for pattern in (_CLAUSE_END, _SPACE):
            if (found := pattern.search(self._text, start, end)) and found.end() < end:
                return found.end()
        start = cut_after(self._text, start)
        return end if self._text[start - 1 : start + 1].isascii() else start

    def _count(self, start: int, end: int) -> int:
        return self._count_tokens(self._text[start:end])

    def _units(self) -> Iterator[_Unit]:
        for start, end in iter_sentences(self._text):
            if end - start > _HOPELESS * self._max:
                yield from self._split(start, end, float(_GUESS))
                continue
            tokens = self._count(start, end)
            if tokens <= self._max:
                yield _Unit(start, end, tokens)
            else:
                yield from self._split(start, end, (end - start) / tokens)

    def _split(self, start: int, end: int, characters_per_token: float) -> Iterator[_Unit]:
        """Yield parts of a long sentence; how far to reach is learnt from the part before."""
        while start < end:
            reach = start + max(1, int(self._max * characters_per_token))
            cut = self._cut(start, min(reach, end), end)
            tokens = self._count(start, cut)
            while tokens > self._max:
                shorter = start + int((cut - start) * self._max / tokens * _CAUTION)
                nearer = self._cut(start, max(start + 1, min(shorter, cut - 1)), end)
                if nearer >= cut:
                    break
                cut, tokens = nearer, self._count(start, nearer)
            yield _Unit(start, cut, tokens)
            characters_per_token = (cut - start) / max(1, tokens)
            start = cut

    def _cut(self, start: int, reach: int, end: int) -> int:
        """Return the best offset in (start, reach] to cut at."""
        if reach >= end:
            return end
        for pattern in (_CLAUSE_END, _SPACE):
            cuts = [m.end() for m in pattern.finditer(self._text, (start + reach) // 2, reach)]
            if cuts:
                return cuts[-1]
        cut = cut_before(self._text, reach, start)
        return cut if cut > start else cut_after(self._text, start + 1)
