"""A greedy row is asked for the mask of all tokens only where its largest logit may not come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm.engine.backends.native.scheduling.constraint import GrammarConstraint
from openautoglm.engine.backends.native.scheduling.sampler import OperatorSampler
from openautoglm.engine.backends.native.scheduling.scheduler import Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.engine.sampling import SamplingParams
from openautoglm.engine.structured import compile_schema
from openautoglm.testing.toy_decoder import ToyModel, decode

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.scheduling.faces import Words
    from openautoglm.engine.structured import TokenConstraint, TokenizerView

WORDS: dict[str, object] = {
    "type": "array",
    "items": {"type": "string", "maxLength": 6},
    "minItems": 3,
    "maxItems": 5,
}


class Counting:
    """A constraint that counts its masks; `is_lazy` False says no to every single token."""

    def __init__(self, tokens: TokenConstraint, *, is_lazy: bool) -> None:
        self._inner = GrammarConstraint(tokens)
        self._is_lazy = is_lazy
        self.masks = 0
        self.taken = 0

    def mask(self) -> Words:
        self.masks += 1
        return self._inner.mask()

    def allows(self, token: int) -> bool:
        return self._is_lazy and self._inner.allows(token)

    def accept(self, token: int) -> bool:
        self.taken += 1
        return self._inner.accept(token)

    def forced(self) -> list[int]:
        return []


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_answer_is_the_same_and_a_greedy_one_needs_fewer_masks(
    temperature: float, view: TokenizerView, eos: int
) -> None:
    said, masks, taken = [], [], []
    for is_lazy in (True, False):
        constraints = [
            Counting(compile_schema(WORDS).constraint(view), is_lazy=is_lazy) for _ in range(3)
        ]
        asked = [
            Sequence(
                id=number,
                prompt=(number + 1, 7),
                max_tokens=60,
                params=SamplingParams(temperature=temperature),
                seed=number,
                eos=frozenset({eos}),
                constraint=constraint,
            )
            for number, constraint in enumerate(constraints)
        ]
        model = ToyModel(slots=4, context=80, rows=64, vocabulary=view.vocabulary_size)
        answers = decode(Scheduler(model, OperatorSampler()), *asked)
        said.append([answers[number].tokens for number in range(3)])
        masks.append(sum(constraint.masks for constraint in constraints))
        taken.append(sum(constraint.taken for constraint in constraints))
    assert said[0] == said[1]
    assert taken[0] == taken[1] > 30
    assert masks[1] == taken[1]
    assert (masks[0] < taken[0]) == (temperature == 0)


def test_one_token_is_judged_as_the_mask_judges_it(view: TokenizerView, eos: int) -> None:
    constraint = compile_schema({"enum": [1, 12, "a"]}).constraint(view)
    while True:
        mask = constraint.mask()
        assert [constraint.allows(token) for token in range(view.vocabulary_size)] == mask.tolist()
        assert not constraint.allows(view.vocabulary_size)
        if mask[eos]:
            break
        constraint.accept(int(np.flatnonzero(mask)[0]))
