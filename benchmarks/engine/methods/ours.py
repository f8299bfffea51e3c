"""Our engine: the scheduler of the `native` backend over its model, tokens in and tokens out.

Guesses are on where answers copy, and nowhere else: random weights repeat themselves, so that
guessing would look better than it is.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast, final

import numpy as np

from openautoglm.engine.backends.native.model.model import Model
from openautoglm.engine.backends.native.scheduling.constraint import GrammarConstraint
from openautoglm.engine.backends.native.scheduling.faces import Chosen
from openautoglm.engine.backends.native.scheduling.sampler import OperatorSampler
from openautoglm.engine.backends.native.scheduling.scheduler import Rules, Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.engine.backends.native.text.tokens import Tokens
from openautoglm.engine.model_folder import inspect
from openautoglm.engine.sampling import SamplingParams
from openautoglm.engine.structured import compile_schema

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from work import Work

    from methods import Setting
    from openautoglm.engine.backends.native.scheduling.faces import Draw, Logits
    from openautoglm.engine.backends.native.weights.convert import Mode

SLOTS: Final = 32
KEPT: Final = 2  # the backend's own
CONTEXT: Final = 512
GREEDY: Final = SamplingParams(temperature=0)


def load(setting: Setting) -> Ours:
    """Load the model as the backend does."""
    mode, _, plain = setting.kind.partition("-")
    model = Model(
        setting.folder,
        cast("Mode", mode),
        slots=SLOTS + KEPT,
        context=CONTEXT,
        threads=setting.threads,
    )
    return Ours(model, Tokens(inspect(setting.folder)), can_guess=not plain)


@final
class Ours:
    """A model and what the scheduler wants beside it."""

    def __init__(self, model: Model, tokens: Tokens, *, can_guess: bool) -> None:
        self._model = model
        self._tokens = tokens
        self._can_guess = can_guess
        self.notes: dict[str, float] = {}

    def run(self, work: Work) -> Many[Many[int]]:
        """Decode all rows, or one after another; notes how long it was between tokens."""
        self.notes = {"decode_s": 0.0, "decode_tokens": 0}
        rules = Rules(kept=KEPT, guesses=self._can_guess and work.copies)
        sequences = [
            Sequence(id=i, prompt=prompt, max_tokens=length, params=GREEDY)
            for i, (prompt, length) in enumerate(zip(work.prompts, work.lengths, strict=True))
        ]
        if work.schema is not None:
            sequences = self._constrained(sequences, work.schema, jumps=work.jumps)
        groups = [sequences] if work.at_once > 1 else [[one] for one in sequences]
        sampler = Saying(work) if work.answers else OperatorSampler()
        scheduler = Scheduler(self._model, sampler, rules=rules)  # one, as a backend has
        return [answer for group in groups for answer in self._decode(scheduler, group)]

    def _decode(self, scheduler: Scheduler, sequences: Many[Sequence]) -> list[list[int]]:
        answers: dict[int, list[int]] = {one.id: [] for one in sequences}
        for one in sequences:
            scheduler.add(one)
        first = 0.0
        while not scheduler.is_idle:
            for event in scheduler.step():
                if event.error is not None:
                    raise event.error
                answers[event.sequence] += event.tokens
                first = first or time.monotonic()
        self.notes["decode_s"] += time.monotonic() - first
        self.notes["decode_tokens"] += sum(map(len, answers.values())) - 1
        return list(answers.values())

    def _constrained(
        self, sequences: Many[Sequence], schema: str, *, jumps: bool
    ) -> list[Sequence]:
        grammar = compile_schema(json.loads(schema))
        view = self._tokens.view(self._model.vocabulary)
        kind = GrammarConstraint if jumps else Unforced
        return [replace(one, constraint=kind(grammar.constraint(view))) for one in sequences]


@final
class Saying:
    """The operator's sampler, which does all its work, and then says what it was told to."""

    def __init__(self, work: Work) -> None:
        self._sampler = OperatorSampler()
        self._answers = dict(zip(work.prompts, work.answers, strict=False))  # a warm-up has fewer
        self.remembers, self.takes_largest = self._sampler.remembers, self._sampler.takes_largest

    def choose(self, logits: Logits, draws: Many[Draw]) -> Chosen:
        """Choose the tokens of the answers; a draw that stands here again is a token further on."""
        self._sampler.choose(logits, draws)
        times: dict[int, int] = {}
        tokens = np.zeros(len(draws), np.int64)
        for index, draw in enumerate(draws):
            if draw.notes is None:
                draw.notes = self._answers[tuple(draw.ids[: draw.prompt_tokens])]
            answer = cast("tuple[int, ...]", draw.notes)
            ahead = times.get(id(draw), 0)
            times[id(draw)] = ahead + 1
            place = len(draw.ids) - draw.prompt_tokens + ahead
            tokens[index] = answer[min(place, len(answer) - 1)]
        return Chosen(tokens)


@final
class Unforced:
    """A constraint under which every token is decoded, also one that is the only one possible."""

    def __init__(self, tokens: object) -> None:
        inner = GrammarConstraint(tokens)  # type: ignore[arg-type]  # as it came from the grammar
        self.mask, self.allows, self.accept = inner.mask, inner.allows, inner.accept

    def forced(self) -> list[int]:
        """Return none."""
        return []
