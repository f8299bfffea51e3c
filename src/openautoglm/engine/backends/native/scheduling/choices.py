"""What comes of a step: a token for each sequence, and more where guesses hold.

Owns `Choices` and `Tally`. Knows rows and logits; knows nothing of how they were computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np

from openautoglm.engine.backends.native.scheduling.faces import FAILED, Chosen
from openautoglm.errors import WeightsCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence as Many

    from openautoglm.engine.backends.native.scheduling.faces import Logits, Sampler
    from openautoglm.engine.backends.native.scheduling.plan import Plan
    from openautoglm.engine.backends.native.scheduling.sequence import Row


@dataclass(slots=True)
class Tally:
    """What was done so far.

    Attributes:
        steps: forwards.
        rows: rows of all forwards.
        tokens: tokens chosen, not counting those forced.
        guessed: guesses tried.
        right: guesses that came true.
        copied: tokens whose keys and values were copied.
        found: tokens of prompts whose keys and values were there already.
        shared: sequences that were no computation of their own.
    """

    steps: int = 0
    rows: int = 0
    tokens: int = 0
    guessed: int = 0
    right: int = 0
    copied: int = 0
    found: int = 0
    shared: int = 0


class Found(NamedTuple):
    """What the sampler chose, by row of logits.

    Attributes:
        tokens: one a row.
        is_number: whether it could choose, and by a logit that is a number.
        logprobs: as the sampler gives them.
    """

    tokens: list[int]
    is_number: list[bool]
    logprobs: Many[object] | None


@final
class Choices:
    """Give rows their next tokens.

    Args:
        sampler: chooses them.
        tally: counts them.
    """

    def __init__(self, sampler: Sampler, tally: Tally) -> None:
        self._sampler = sampler
        self._tally = tally

    def make(self, plan: Plan, logits: Logits) -> None:
        """Choose tokens, one a sequence at a time, as long as the guesses hold.

        So each is chosen knowing what it would know had nothing been guessed.
        """
        if all(not row.drafts or self._is_free(row) for row in plan.choosing):
            self._take_all(plan, logits)
        else:
            self._take_by_turns(plan, logits)
        for row in plan.choosing:
            if row.drafts:
                self._learn(row)

    def _is_free(self, row: Row) -> bool:
        """Whether what comes next depends on the logits alone."""
        return not (row.banned or row.asked.constraint or self._sampler.remembers(row))

    def _take_all(self, plan: Plan, logits: Logits) -> None:
        """Choose at once: also tokens after guesses, some of which prove wrong."""
        draws = [row for row in plan.choosing for _ in range(len(row.drafts) + 1)]
        found = self._allowed(draws, logits)
        for row, at in zip(plan.choosing, plan.first, strict=True):
            self._give(row, found, at)
            while row.drafts and row.is_right():
                self._give(row, found, at + row.right)

    def _take_by_turns(self, plan: Plan, logits: Logits) -> None:
        rows, first = plan.choosing, plan.first
        part = logits[first]
        while rows:
            found = self._allowed(rows, part)
            for index, row in enumerate(rows):
                self._give(row, found, index)
            again = [i for i, row in enumerate(rows) if row.drafts and row.is_right()]
            if not again:
                break
            rows, first = [rows[i] for i in again], [first[i] for i in again]
            part = logits[[at + row.right for row, at in zip(rows, first, strict=True)]]

    def _learn(self, row: Row) -> None:
        self._tally.guessed += len(row.drafts)
        self._tally.right += row.right
        if row.lookup is not None:
            row.lookup.learn(row.drafts, row.right)
        row.drafts, row.right = [], 0

    def _allowed(self, rows: Many[Row], logits: Logits) -> Found:
        """Choose tokens that may come.

        A row that takes the largest logit is first asked whether that may come, and for its mask
        only if not: most of what a model would write in a form has the form.
        """
        asked = [
            row.asked.constraint is not None and self._sampler.takes_largest(row) for row in rows
        ]
        prepare(row for row, is_asked in zip(rows, asked, strict=True) if not is_asked)
        found = self._found(rows, logits)
        again = [
            index
            for index, (row, token) in enumerate(zip(rows, found.tokens, strict=True))
            if asked[index] and found.is_number[index] and not row.allows(token)
        ]
        if again:
            masked = [rows[index] for index in again]
            prepare(masked)
            more = self._found(masked, logits[again])
            for index, token, is_number in zip(again, more.tokens, more.is_number, strict=True):
                rows[index].mask = None
                found.tokens[index], found.is_number[index] = token, is_number
        return found

    def _found(self, rows: Many[Row], logits: Logits) -> Found:
        chosen = self._sample(rows, logits)
        tokens = chosen.tokens
        is_number = ~np.isnan(logits[np.arange(len(rows)), tokens])
        is_number &= tokens != FAILED
        return Found(tokens.tolist(), is_number.tolist(), chosen.logprobs)

    def _give(self, row: Row, found: Found, index: int) -> None:
        self._tally.tokens += 1
        if row.reason is not None:
            return
        if not found.is_number[index]:
            row.fail(_not_numbers(row))
        elif found.logprobs is None:
            row.take(found.tokens[index])
        else:
            logprob = found.logprobs[index]
            row.has_logprobs = row.has_logprobs or logprob is not None
            row.take(found.tokens[index], logprob)

    def _sample(self, rows: Many[Row], logits: Logits) -> Chosen:
        try:
            return self._sampler.choose(logits, rows)
        except Exception as error:  # noqa: BLE001 - whose it is comes out below
            if len(rows) == 1:
                rows[0].fail(error)
                return Chosen(np.array([FAILED]), [None])
        alone = [self._sample([row], logits[i : i + 1]) for i, row in enumerate(rows)]
        logprobs = [None if one.logprobs is None else one.logprobs[0] for one in alone]
        tokens = np.concatenate([one.tokens for one in alone])
        return Chosen(tokens, None if all(x is None for x in logprobs) else logprobs)


def prepare(rows: Iterable[Row]) -> None:
    """Bring rows up to date whose next token not every one may be."""
    for row in rows:
        if row.banned or row.asked.constraint is not None:
            row.prepare()


def _not_numbers(row: Row) -> WeightsCorruptError:
    return WeightsCorruptError(
        "the model computes numbers that are not numbers (NaN)",
        got=f"token {len(row.ids) - row.prompt_tokens} after a prompt of {row.prompt_tokens}",
        fix='use mode "fp32"; if it stays so, the weights are damaged',
    )
