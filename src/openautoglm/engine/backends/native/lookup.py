"""Guesses of what comes next, read off what was said before: for answers that copy.

Owns `Lookup`. Knows nothing of models: a guess costs a row of the next step and saves a step when
it is right; whether it is right is not decided here.
"""

from __future__ import annotations

import math
from typing import Final, final

LONG: Final = 3  # tokens that must agree for a place to be trusted
SHORT: Final = 2  # where no place agrees in LONG
FEWEST: Final = 4  # guesses a step, at first and after wrong ones
MOST: Final = 16  # guesses a step, after as many right ones
PRIOR: Final = (3.6, 0.4)  # right and wrong guesses that a sequence starts with
MEMORY: Final = 0.9  # what a step leaves of the evidence of those before
FIRST_PAUSE: Final = 8  # tokens
LONGEST_PAUSE: Final = 512
SURE: Final = 0.995  # a chance is never taken to be greater


@final
class Lookup:
    """Propose the tokens that followed the last time the sequence said what it says now.

    Counts how often it was right, and proposes only as many tokens as pay. Where it does not pay it
    pauses, longer each time.
    """

    __slots__ = (
        *("_from", "_known", "_long", "_long_key", "_most", "_pause", "_right"),
        *("_short", "_short_key", "_then", "_wait", "_wrong"),
    )

    def __init__(self) -> None:
        self._long: dict[tuple[int, ...], int] = {}
        self._short: dict[tuple[int, ...], int] = {}
        self._known = 0  # so many ids are noted, but for
        self._long_key: tuple[int, ...] = ()  # the last of them, which nothing followed yet
        self._short_key: tuple[int, ...] = ()
        self._from = -1  # the last guess was read here,
        self._then = 0  # when there were so many ids
        self._right, self._wrong = PRIOR
        self._most = FEWEST
        self._pause = FIRST_PAUSE
        self._wait = 0

    def propose(self, ids: list[int], most: int, worth: float) -> list[int]:
        """Return at most `most` tokens that may follow `ids`, likely ones first to come.

        Args:
            ids: prompt and output; the same list, grown, at each call.
            most: how many there is room for.
            worth: what a right guess saves, in rows of a step; a guess costs one.
        """
        if self._wait > len(ids) or most <= 0:
            return []
        at = self._place(ids)
        if at < 0:
            return []
        count = min(most, self._paying(worth), self._most)
        if count <= 0:
            self._rest(len(ids))
            return []
        self._from, self._then = at, len(ids)
        guess = ids[at : at + count]
        period = len(guess)  # what is being said repeats itself when the place is near the end
        while len(guess) < count:
            guess.append(guess[len(guess) - period])
        return guess

    def learn(self, proposed: int, right: int) -> None:
        """Take note of how many of the last proposal's tokens came."""
        is_wrong = right < proposed
        self._right = self._right * MEMORY + right
        self._wrong = self._wrong * MEMORY + is_wrong
        if is_wrong:
            self._most = max(FEWEST, right)
        else:
            self._most = min(2 * self._most, MOST)
            self._pause = FIRST_PAUSE

    def _paying(self, worth: float) -> int:
        """Return how many guesses in a row are each worth the row they cost."""
        chance = min(self._right / (self._right + self._wrong), SURE)
        if chance * worth < 1:
            return 0
        return int(math.log(worth) / -math.log(chance))

    def _rest(self, now: int) -> None:
        self._wait = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._right, self._wrong = PRIOR

    def _place(self, ids: list[int]) -> int:
        """Return where the tokens stand that followed before, or -1."""
        now = len(ids)
        if self._known == now - 1:
            self._long[self._long_key] = self._short[self._short_key] = self._known
        else:
            self._note(ids)
        self._known = now
        self._long_key, self._short_key = tuple(ids[-LONG:]), tuple(ids[-SHORT:])
        if self._from >= 0:  # go on where the last guess was read, if all of it came true
            came = len(ids) - self._then
            if ids[self._from : self._from + came] == ids[self._then :]:
                return self._from + came
            self._from = -1
        at = self._long.get(self._long_key, -1)
        return at if at >= 0 else self._short.get(self._short_key, -1)

    def _note(self, ids: list[int]) -> None:
        """Note all places but the last, which nothing follows yet."""
        for places, size in ((self._long, LONG), (self._short, SHORT)):
            first = max(self._known, size)
            if first >= len(ids):
                continue
            part = ids[first - size : len(ids) - 1]
            shifted = (part[i : len(part) - size + 1 + i] for i in range(size))
            places.update(zip(zip(*shifted, strict=True), range(first, len(ids)), strict=True))
