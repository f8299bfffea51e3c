"""The scheduler over a real decoder: what is shared, guessed or mixed changes no bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm.engine.backends.native.model.model import Model
from openautoglm.engine.backends.native.scheduling.scheduler import Rules, Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.testing.toy_decoder import ToyParams, ToySampler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.engine.backends.native.weights.convert import Mode

    TinyModel = Callable[..., Path]

ALONE = Rules(guesses=False, minimum=10_000)


def workload(count: int, vocabulary: int) -> list[Sequence]:
    """Return prompts of which many begin alike, some answers that are drawn, of many lengths."""
    chance = np.random.default_rng(7)
    beginnings = [chance.integers(0, vocabulary, size).tolist() for size in (0, 20, 37)]
    return [
        Sequence(
            id=number,
            prompt=(
                *beginnings[number % 3],
                *chance.integers(0, vocabulary, chance.integers(1, 9)).tolist(),
            ),
            max_tokens=int(chance.integers(1, 40)),
            params=ToyParams(temperature=5.0 * (number % 4 == 0), logprobs=True),
            seed=number,
        )
        for number in range(count)
    ]


def outcome(scheduler: Scheduler, asked: list[Sequence]) -> dict[int, list[object]]:
    found: dict[int, list[object]] = {one.id: [] for one in asked}
    for one in asked:
        scheduler.add(one)
    while not scheduler.is_idle:
        for event in scheduler.step():
            assert event.error is None
            found[event.sequence] += zip(event.tokens, event.logprobs, strict=True)
    return found


@pytest.mark.parametrize("mode", ["fp32", "int8"])
def test_tokens_and_logits_are_to_the_bit_those_of_a_sequence_alone(
    tiny_model: TinyModel, mode: Mode
) -> None:
    model = Model(tiny_model("llama"), mode, slots=7, rows=48)
    rules = Rules(kept=1, catch_up=20, step_rows=50.0)
    scheduler = Scheduler(model, ToySampler(), rules=rules)
    asked = workload(24, model.vocabulary)
    together = outcome(scheduler, asked)
    alone: dict[int, list[object]] = {}
    for one in asked:
        alone |= outcome(Scheduler(model, ToySampler(), rules=ALONE), [one])
    assert together == alone
    assert scheduler.tally.found > 0
    assert scheduler.tally.right > 0
    model.close()
