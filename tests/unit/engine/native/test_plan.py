"""Who gets the rows of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.engine.backends.native.scheduling.plan import share_out
from openautoglm.engine.backends.native.scheduling.scheduler import Rules, Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import NEAR, Row, Sequence
from openautoglm.testing.toy_decoder import ToyConstraint, ToyModel, ToySampler, decode

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.scheduling.plan import Plan


def row(number: int, prompt: int, *, known: int, forced: int = 0, drafts: int = 0) -> Row:
    made = Row(Sequence(id=number, prompt=(1,) * prompt, max_tokens=100), room=100)
    made.known = known
    made.ids += [2] * forced
    made.drafts = [3] * drafts
    return made


def served(plan: Plan) -> list[int]:
    return [one.asked.id for one in plan.served]


def test_forced_tokens_and_guesses_after_them_go_in_one_step_before_any_prompt() -> None:
    rows = [row(0, 40, known=0), row(1, 4, known=4, forced=5, drafts=3), row(2, 4, known=3)]
    plan = share_out(rows, 20)
    assert served(plan) == [1, 2, 0]
    assert [one.asked.id for one in plan.choosing] == [1, 2]
    assert plan.size == 20


@pytest.mark.parametrize("forced", [3, NEAR + 1])
def test_forced_tokens_for_which_a_step_is_too_small_are_read_in_parts(forced: int) -> None:
    plan = share_out([row(0, 4, known=4, forced=forced)], 2)
    assert plan.size == 2
    assert not plan.choosing


def test_the_last_part_of_a_prompt_waits_for_those_that_decode() -> None:
    plan = share_out([row(0, 20, known=18), row(1, 4, known=3)], 30, catch_up=1)
    assert served(plan) == [1, 0]
    assert plan.size == 2


def test_guesses_are_tried_right_after_forced_tokens() -> None:
    def steps(*, guesses: bool) -> tuple[list[int], int]:
        model = ToyModel(slots=1, context=256, window=1)
        scheduler = Scheduler(model, ToySampler(), rules=Rules(guesses=guesses))
        asked = Sequence(
            id=1, prompt=tuple(range(16)), max_tokens=60, constraint=ToyConstraint(jumps=True)
        )
        return decode(scheduler, asked)[1].tokens, len(model.calls)

    plain, all_steps = steps(guesses=False)
    guessed, fewer = steps(guesses=True)
    assert guessed == plain
    assert fewer < all_steps
