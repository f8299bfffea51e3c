"""Guesses of what comes next, read off what was said before: for answers that copy.

Owns `Lookup`, which reads one sequence, and `Experience`, which all sequences of a scheduler share.
Knows nothing of models: a guess costs a row of the next step and saves a step when it is right;
whether it is right is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, final

LONG: Final = 3  # tokens that must agree for a place to be trusted most
SHORT: Final = 2  # where no place agrees in LONG
MOST: Final = 16  # guesses a step
HABITS: Final = 2**15  # most contexts that are remembered
CONTEXT: Final = 4  # tokens an answer says of its own accord, after which it says the same again
COPIED: Final = -1  # stands in such a context for any number of tokens that the prompt has
PRIOR: Final = {"on": 0.9, "long": 0.8, "short": 0.7, "first": 0.5, "habit": 0.6}
"""How often a guess comes true at first, by where it was read: on from the last one, where LONG or
SHORT tokens agree, where the prompt first has the last token, or what other answers say there."""
FOLLOWS: Final = 0.9  # how often, at first, the next guess is right when the one before is
TRIALS: Final = 4.0  # of a token before they count as much as those of all tokens
SURE: Final = 0.98  # a chance is never taken to be greater
RATE: Final = 0.05  # what one trial counts beside all those before it
RETURN: Final = 0.0005  # how far a chance goes back to the prior where it is too low to try,
FORGIVEN: Final = 0.003  # and how far what a sequence had against guesses is forgotten then
WEIGHT: Final = 2.0  # of a right guess of all others, beside those of the sequence itself

Context: TypeAlias = tuple[int, ...]


class Guess(NamedTuple):
    """Where a guess can be read.

    Attributes:
        kind: a key of `PRIOR`.
        at: place in the sequence; -1 where other answers have it.
    """

    kind: str
    at: int = -1


@final
@dataclass(slots=True)
class Experience:
    """What sequences learn from each other: how often guesses come true, and what answers repeat.

    Attributes:
        chances: that the first token of a guess is right, by its kind.
        follows: that the next one is right when the one before is.
        tokens: how often a token that was guessed to follow came and did not: where copies end.
        habits: what answers say next of their own accord, or `COPIED`, by what they said before.
    """

    chances: dict[str, float] = field(default_factory=lambda: dict(PRIOR))
    follows: float = FOLLOWS
    tokens: dict[int, list[float]] = field(default_factory=dict)
    habits: dict[Context, int] = field(default_factory=dict)

    def note(self, context: Context, said: int) -> None:
        """Remember what came after a context."""
        if len(self.habits) >= HABITS:
            self.habits.clear()
        self.habits[context] = self.habits[context[1:]] = said

    def expected(self, context: Context) -> int:
        """Return what came after a context the last time, `COPIED` if it is not known."""
        said = self.habits.get(context)
        return self.habits.get(context[1:], COPIED) if said is None else said

    def rest(self, kind: str) -> None:
        """Let a kind of guess that was not worth a try be tried again some day."""
        self.chances[kind] += RETURN * (PRIOR[kind] - self.chances[kind])

    def chance_after(self, token: int) -> float:
        """Return the chance that a token follows as guessed, when the one before it did."""
        trials = self.tokens.get(token)
        if trials is None:
            return self.follows
        came, not_came = trials
        return (came + TRIALS * self.follows) / (came + not_came + TRIALS)

    def learn(self, kind: str, guess: list[int], right: int) -> None:
        """Take note of how many tokens of a guess came true."""
        self.chances[kind] += RATE * ((right > 0) - self.chances[kind])
        if kind == "habit":
            return
        follow = guess[kind != "on" : right + 1]  # those that a right one went before
        if not follow:
            return
        missed = right < len(guess)
        share = 1 - missed / len(follow)
        self.follows += min(0.5, RATE * len(follow)) * (share - self.follows)
        for token in follow:
            self.tokens.setdefault(token, [0.0, 0.0])[0] += 1
        if missed:
            last = self.tokens[guess[right]]
            last[0] -= 1
            last[1] += 1


@final
class Lookup:
    """Propose tokens as long as each is likely to save more than the row that it costs.

    Args:
        shared: what other sequences learned.
        prompt_tokens: how many tokens are the prompt.
    """

    __slots__ = (
        *("_experience", "_first", "_from", "_kind", "_known", "_long", "_long_key"),
        *("_prompt_tokens", "_right", "_said", "_said_to", "_short", "_short_key", "_then"),
        "_tried",
    )

    def __init__(self, shared: Experience, prompt_tokens: int) -> None:
        self._experience = shared
        self._prompt_tokens = prompt_tokens
        self._first: dict[int, int] = {}  # what follows a token of the prompt
        self._long: dict[Context, int] = {}
        self._short: dict[Context, int] = {}
        self._known = 0  # so many ids are noted, but for
        self._long_key: Context = ()  # the last of them, which nothing followed yet
        self._short_key: Context = ()
        self._said: Context = (COPIED,) * CONTEXT  # what is no copy, and where copies were
        self._said_to = prompt_tokens
        self._from = -1  # the last guess was read here,
        self._then = 0  # when there were so many ids
        self._kind = "on"
        self._right = self._tried = WEIGHT  # guesses that came true, and that all others expected

    def propose(self, ids: list[int], most: int, worth: float) -> list[int]:
        """Return at most `most` tokens that may follow `ids`, likely ones first to come.

        Args:
            ids: prompt and output; the same list, grown, at each call.
            most: how many there is room for.
            worth: what a step costs per sequence, in rows; a guess costs one.
        """
        if most <= 0:
            return []
        self._note(ids)
        most = min(most, MOST)
        guess = self._find(ids, worth)
        if guess is None:
            self._from = -1
            return []
        tokens = self._habit(most) if guess.at < 0 else _read(ids, guess.at, most)
        count = self._paying(guess.kind, tokens, worth)
        self._kind, self._then = guess.kind, len(ids)
        self._from = guess.at if count else -1
        return tokens[:count]

    def learn(self, guess: list[int], right: int) -> None:
        """Take note of how many tokens of the last guess came."""
        expected = self._experience.chances[self._kind]
        self._right += RATE * (WEIGHT - self._right) + (right > 0)
        self._tried += RATE * (WEIGHT - self._tried) + expected
        self._experience.learn(self._kind, guess, right)

    def _rest(self, kind: str) -> None:
        self._right += FORGIVEN * (WEIGHT - self._right)
        self._tried += FORGIVEN * (WEIGHT - self._tried)
        self._experience.rest(kind)

    def _chance(self, kind: str) -> float:
        return min(self._experience.chances[kind] * self._right / self._tried, SURE)

    def _pays(self, kind: str, worth: float) -> bool:
        if self._chance(kind) * worth >= 1:
            return True
        self._rest(kind)
        return False

    def _paying(self, kind: str, guess: list[int], worth: float) -> int:
        """Return how many tokens of a guess make the most tokens of each row."""
        shared, chance = self._experience, self._chance(kind)
        if kind == "on":
            chance *= min(1.0, shared.chance_after(guess[0]) / shared.follows)
        chance_after = _as_most_do if kind == "habit" else shared.chance_after
        count, tokens = 0, 1.0
        while chance * (worth + count) >= tokens:
            tokens += chance
            count += 1
            if count == len(guess):
                break
            chance *= chance_after(guess[count])
        return count

    def _find(self, ids: list[int], worth: float) -> Guess | None:
        has_habit = self._said[-1] != COPIED and self._experience.expected(self._said) != COPIED
        if has_habit and self._pays("habit", worth):
            return Guess("habit")
        guess = self._place(ids)
        return guess if guess is not None and self._pays(guess.kind, worth) else None

    def _place(self, ids: list[int]) -> Guess | None:
        if self._from >= 0:  # go on where the last guess was read, if all of it came true
            at = self._from + len(ids) - self._then
            if ids[self._from : at] == ids[self._then :]:
                return Guess("on", at)
        for kind, places, key in (
            ("long", self._long, self._long_key),
            ("short", self._short, self._short_key),
        ):
            found = places.get(key, -1)
            if found >= 0:
                return Guess(kind, found)
        first = self._first.get(ids[-1], -1)
        return None if first < 0 else Guess("first", first)

    def _habit(self, most: int) -> list[int]:
        """Return what answers say here before they copy again."""
        context = self._said
        tokens: list[int] = []
        while len(tokens) < most:
            said = self._experience.expected(context)
            if said == COPIED:
                break
            tokens.append(said)
            context = (*context[1:], said)
        return tokens

    def _note(self, ids: list[int]) -> None:
        now = len(ids)
        if self._known == now - 1 and self._known > self._prompt_tokens:
            self._long[self._long_key] = self._short[self._short_key] = self._known
        else:
            self._note_places(ids)
        self._known = now
        self._long_key, self._short_key = tuple(ids[-LONG:]), tuple(ids[-SHORT:])
        for token in ids[self._said_to :]:
            self._note_said(COPIED if token in self._first else token)
        self._said_to = max(now, self._said_to)

    def _note_said(self, said: int) -> None:
        last = self._said[-1]
        if last == COPIED == said:
            return
        if last != COPIED:
            self._experience.note(self._said, said)
        self._said = (*self._said[1:], said)

    def _note_places(self, ids: list[int]) -> None:
        """Note all places but the last, which nothing follows yet."""
        if not self._first:
            prompt = ids[: min(self._prompt_tokens, len(ids) - 1)]
            self._first = dict(zip(reversed(prompt), range(len(prompt), 0, -1), strict=True))
        for places, size in ((self._long, LONG), (self._short, SHORT)):
            first = max(self._known, size)
            if first >= len(ids):
                continue
            part = ids[first - size : len(ids) - 1]
            shifted = (part[i : len(part) - size + 1 + i] for i in range(size))
            places.update(zip(zip(*shifted, strict=True), range(first, len(ids)), strict=True))


def _as_most_do(_: int) -> float:
    return FOLLOWS


def _read(ids: list[int], at: int, count: int) -> list[int]:
    """Return tokens from a place on; what is said repeats itself where that is near the end."""
    tokens = ids[at : at + count]
    period = len(tokens)
    while len(tokens) < count:
        tokens.append(tokens[len(tokens) - period])
    return tokens
