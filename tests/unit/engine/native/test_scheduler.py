from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from openautoglm.engine.backends.native.scheduling.plan import Budget
from openautoglm.engine.backends.native.scheduling.scheduler import Rules, Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.errors import (
    InvalidParameterError,
    InvalidPromptError,
    KernelFailedError,
    ModelTooLargeError,
    WeightsCorruptError,
)
from openautoglm.testing.toy_decoder import (
    ToyAdapter,
    ToyAnswer,
    ToyModel,
    ToyParams,
    ToySampler,
    decode,
    follow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


VOCABULARY = 16
ALONE = Rules(guesses=False, minimum=10_000)


def alone(asked: Sequence, *, context: int = 64) -> ToyAnswer:
    model = ToyModel(slots=1, context=context, rows=64, vocabulary=VOCABULARY)
    return decode(Scheduler(model, ToySampler(), rules=ALONE), asked)[asked.id]


def ask(number: int, prompt: Iterable[int], max_tokens: int = 4) -> Sequence:
    return Sequence(id=number, prompt=tuple(prompt), max_tokens=max_tokens)


def make(
    *,
    slots: int = 4,
    rows: int = 64,
    window: int = 0,
    most: int | None = None,
    fault: Callable[[tuple[int, ...]], bool] | None = None,
    rules: Rules | None = None,
) -> tuple[ToyModel, Scheduler]:
    model = ToyModel(
        slots=slots, context=128, rows=rows, vocabulary=16, window=window, most=most, fault=fault
    )
    return model, Scheduler(model, ToySampler(), rules=rules)


def test_rows_that_decode_never_stall_behind_a_long_prompt() -> None:
    _, scheduler = make(rows=8)
    scheduler.add(ask(1, [1, 2], 40))
    scheduler.step()
    scheduler.add(ask(2, [3, 4] * 40, 4))
    for _ in range(8):
        assert next(event.sequence for event in scheduler.step() if event.tokens) == 1


def test_a_long_prompt_takes_no_more_of_a_step_than_it_may() -> None:
    model, scheduler = make(rules=Rules(catch_up=10, guesses=False))
    scheduler.add(replace(ask(1, [1, 2], 5), is_awaited=True))
    scheduler.step()
    scheduler.add(ask(2, [3, 4] * 20, 4))
    for _ in range(4):
        scheduler.step()
    assert model.calls == [2, 11, 11, 11, 11]


def test_a_long_prompt_takes_all_of_a_step_where_nobody_waits_for_the_tokens_of_others() -> None:
    model, scheduler = make(rules=Rules(catch_up=10, guesses=False))
    scheduler.add(ask(1, [1, 2], 40))
    scheduler.step()
    scheduler.add(ask(2, [3, 4] * 20, 4))
    scheduler.step()
    assert model.calls == [2, 41]


def test_a_beginning_of_many_prompts_is_computed_once() -> None:
    beginning = [1, 5, 9, 2] * 10
    asked = [ask(n, [*beginning, n, n + 1]) for n in range(8)]
    model, scheduler = make(slots=4, rules=Rules(guesses=False))
    answers = decode(scheduler, *asked)
    assert sum(model.calls) == 40 + 8 * 2 + 8 * 3
    assert scheduler.tally.found == 7 * 40
    assert all(answers[one.id].facts == alone(one, context=128).facts for one in asked)


def test_a_kept_beginning_outlives_the_prompts_that_had_it() -> None:
    ours, other = [1, 5, 9, 2] * 5, [7, 7, 3, 0] * 5
    model, scheduler = make(slots=2, rules=Rules(kept=1, guesses=False))
    decode(scheduler, ask(1, [*ours, 1, 1]), ask(2, [*ours, 2, 2]))
    decode(scheduler, ask(3, [4, *other]))
    before = sum(model.calls)
    decode(scheduler, ask(4, [*ours, 3, 3]))
    assert sum(model.calls) - before == 2 + 3


@pytest.mark.parametrize("kept", [0, 1])
def test_a_beginning_read_under_one_adapter_is_none_of_another(kept: int) -> None:
    one, other = ToyAdapter(1), ToyAdapter(2)
    asked = [ask(n, [1, 5, 9, 2] * 10 + [n, n]) for n in range(8)]
    adapters = [None, one, other, one, other, None, one, None]
    pairs = zip(asked, adapters, strict=True)
    asked = [replace(a, adapter=adapter, is_free=True) for a, adapter in pairs]
    rules = Rules(guesses=False, kept=kept)
    model, scheduler = make(slots=3 + kept, rules=rules)
    answers = decode(scheduler, *asked)
    assert all(answers[a.id].facts == alone(a, context=128).facts for a in asked)
    assert len({tuple(alone(replace(asked[0], adapter=a)).tokens) for a in adapters}) == 3
    assert scheduler.tally.found == 5 * 40
    assert sum(model.calls) == 3 * 40 + 8 * 2 + 8 * 3


def test_the_same_prompt_under_two_adapters_is_two_computations() -> None:
    _, scheduler = make(rules=Rules(guesses=False))
    asked = [
        replace(ask(n, [1, 2, 3]), adapter=adapter)
        for n, adapter in enumerate([None, ToyAdapter(1), ToyAdapter(2), ToyAdapter(1)])
    ]
    answers = decode(scheduler, *asked)
    assert scheduler.tally.shared == 1
    assert answers[1].tokens == answers[3].tokens
    assert all(answers[a.id].facts == alone(a).facts for a in asked)


def test_samples_of_one_prompt_share_its_computation() -> None:
    params = ToyParams(temperature=1.0)
    asked = [replace(ask(n, [1, 2, 3, 4] * 8), params=params, seed=n) for n in range(4)]
    model, scheduler = make(rules=Rules(guesses=False))
    answers = decode(scheduler, *asked)
    assert sum(model.calls) == 32 + 3 + 4 * 3
    assert len({tuple(answer.tokens) for answer in answers.values()}) > 1


def test_identical_sequences_are_computed_once_and_one_may_come_late_or_leave() -> None:
    model, scheduler = make(rules=Rules(guesses=False))
    answers: dict[int, ToyAnswer] = {}
    scheduler.add(ask(1, [1, 2, 3], 8))
    scheduler.add(ask(2, [1, 2, 3], 8))
    follow(scheduler, answers, steps=3)
    scheduler.add(ask(3, [1, 2, 3], 8))
    scheduler.cancel(1)
    follow(scheduler, answers)
    assert [answers[n].reason for n in (1, 2, 3)] == ["cancelled", "length", "length"]
    assert answers[2].tokens == answers[3].tokens == alone(ask(1, [1, 2, 3], 8)).tokens
    assert sum(model.calls) == 3 + 7
    assert scheduler.tally.shared == 2


def test_a_prompt_that_is_too_long_is_refused_with_the_numbers_and_the_others_decode() -> None:
    _, scheduler = make()
    answers = decode(scheduler, ask(1, [1] * 200), ask(2, [1, 2]), ask(3, []), ask(4, [99]))
    assert isinstance(answers[1].error, InvalidPromptError)
    assert "200 tokens" in str(answers[1].error)
    assert "holds 128" in str(answers[1].error)
    assert [answers[n].reason for n in (1, 2, 3, 4)] == ["error", "length", "error", "error"]


def test_numbers_that_are_not_numbers_end_the_row_that_has_them() -> None:
    _, scheduler = make(fault=lambda seen: seen[0] == 6 and len(seen) == 4)
    answers = decode(scheduler, ask(1, [1, 2], 6), ask(2, [6, 2], 6))
    assert answers[1].facts == alone(ask(1, [1, 2], 6)).facts
    assert isinstance(answers[2].error, WeightsCorruptError)
    assert len(answers[2].tokens) == 2


def test_a_kernel_that_fails_for_one_row_ends_that_row() -> None:
    def fault(seen: tuple[int, ...]) -> bool:
        if seen[0] == 6:
            raise KernelFailedError("the kernel failed", fix="none")
        return False

    _, scheduler = make(fault=fault)
    answers = decode(scheduler, *(ask(n, [n, 2], 6) for n in range(4, 8)))
    assert isinstance(answers[6].error, KernelFailedError)
    for number in (4, 5, 7):
        assert answers[number].facts == alone(ask(number, [number, 2], 6)).facts


@pytest.mark.parametrize("most", [1, 2, 5])
def test_when_memory_runs_out_steps_get_smaller_and_the_rows_survive(most: int) -> None:
    model, scheduler = make(slots=4, most=most)
    asked = [ask(n, [n, 2, 3, 4, 5], 6) for n in range(4)]
    answers = decode(scheduler, *asked)
    assert all(answers[one.id].facts == alone(one).facts for one in asked)
    assert scheduler.budget.rows <= most
    assert max(model.calls) <= most


def test_steps_grow_again_when_there_is_memory_again() -> None:
    model, scheduler = make(slots=4, most=2)
    decode(scheduler, *(ask(n, [n, 2, 3, 4, 5], 6) for n in range(4)))
    model.most = 64
    for number in range(6, 16):
        decode(scheduler, ask(number, [number, 2], 100))
    assert scheduler.budget.rows == 64


def test_memory_that_stays_short_is_tried_ever_more_rarely() -> None:
    budget = Budget(64)
    tries = []
    for step in range(2000):
        if budget.rows > 8:
            tries.append(step)
            budget.halve(16)
        else:
            budget.note()
    assert 3 < len(tries) < 10


def test_a_row_that_has_no_room_even_alone_ends_with_an_error() -> None:
    _, scheduler = make(most=0)
    answers = decode(scheduler, ask(1, [1, 2]), ask(2, [1, 3]))
    assert all(isinstance(answer.error, ModelTooLargeError) for answer in answers.values())


def test_the_tokens_in_use_stay_within_what_is_allowed() -> None:
    _, scheduler = make(rules=Rules(most_tokens=30))
    for number in range(4):
        scheduler.add(ask(number, [number, 2], 8))
    scheduler.step()
    assert scheduler.running == 3
    assert scheduler.waiting == 1
    follow(scheduler, {})


def test_a_sequence_that_waits_for_room_is_not_overtaken() -> None:
    _, scheduler = make(rules=Rules(most_tokens=40))
    asked = [ask(0, [1, 2], 20), ask(1, [2, 2], 30), ask(2, [3, 2], 2)]
    assert list(decode(scheduler, *asked)) == [0, 1, 2]


def test_when_steps_are_too_small_for_all_they_take_turns() -> None:
    _, scheduler = make(slots=4, rules=Rules(guesses=False))
    for number in range(4):
        scheduler.add(ask(number, [number, 2], 40))
    answers: dict[int, ToyAnswer] = {}
    follow(scheduler, answers, steps=1)
    scheduler.budget.rows = 3
    follow(scheduler, answers, steps=8)
    assert [len(answer.tokens) for answer in answers.values()] == [7, 7, 7, 7]


def test_where_order_is_free_the_longest_and_those_alike_come_first() -> None:
    _, scheduler = make(slots=1, rules=Rules(minimum=2, guesses=False))
    asked = [ask(0, [1, 1, 1], 2), ask(1, [2, 2, 2], 9), ask(2, [3, 3, 1], 5), ask(3, [2, 2, 3], 3)]
    free = [replace(a, is_free=True) for a in asked]
    assert list(decode(scheduler, *free)) == [1, 3, 2, 0]


def test_those_whose_order_is_free_and_those_served_as_they_came_take_turns() -> None:
    _, scheduler = make(slots=1, rules=Rules(minimum=2, guesses=False))
    free = [replace(ask(n, [n, n], size), is_free=True) for n, size in ((0, 2), (1, 9), (2, 5))]
    given = [ask(n, [n, 7], 2) for n in (4, 5, 6, 7)]
    answers = decode(scheduler, *free[:2], *given[:1], free[2], *given[1:])
    assert list(answers) == [4, 1, 5, 2, 6, 0, 7]


def test_a_stream_that_joins_a_row_of_a_batch_is_awaited() -> None:
    model, scheduler = make(rows=64, rules=Rules(catch_up=4, guesses=False))
    scheduler.add(ask(1, [1, 2], 30))
    scheduler.step()
    scheduler.add(replace(ask(2, [1, 2], 30), is_awaited=True))
    scheduler.add(ask(3, range(16), 2))
    scheduler.step()
    assert model.calls[-1] == 1 + 4


def test_a_copying_answer_takes_fewer_steps() -> None:
    model, scheduler = make(window=1)
    decode(scheduler, ask(1, range(16), 80))
    assert len(model.calls) < 40
    assert scheduler.tally.right / scheduler.tally.guessed > 0.5


def test_guesses_that_are_wrong_end_soon() -> None:
    model, scheduler = make(window=0, rules=Rules(step_rows=2.0))
    decode(scheduler, ask(1, [1, 2] * 8, 100))
    assert scheduler.tally.guessed < 40
    assert len(model.calls) <= 100


def test_an_id_under_way_is_not_taken_twice() -> None:
    _, scheduler = make()
    scheduler.add(ask(1, [1, 2]))
    with pytest.raises(InvalidParameterError):
        scheduler.add(ask(1, [1, 2, 3]))


def test_no_end_comes_before_the_fewest_tokens() -> None:
    everything = frozenset(range(16)) - {3}
    asked = replace(ask(1, [1, 2], 9), min_tokens=4, eos=everything)
    _, scheduler = make()
    answer = decode(scheduler, asked)[1]
    assert (answer.tokens, answer.reason) == ([3] * 4, "stop")


def test_one_that_is_cancelled_before_its_turn_waits_no_more() -> None:
    _, scheduler = make(slots=1)
    for number in range(3):
        scheduler.add(ask(number, [number, 2]))
    scheduler.step()
    scheduler.cancel(1)
    assert scheduler.waiting == 1
    assert [event.finish_reason for event in scheduler.step()] == ["cancelled", None]


def test_guesses_stay_within_the_context() -> None:
    model = ToyModel(slots=1, context=40, vocabulary=VOCABULARY, window=1)
    answer = decode(Scheduler(model, ToySampler()), ask(1, range(16), 100))[1]
    assert (answer.reason, len(answer.tokens)) == ("length", 24)
    assert len(model.calls) < 20


def test_the_cache_has_no_more_memory_than_it_may_and_the_oldest_gives_way() -> None:
    model, scheduler = make(slots=4, rules=Rules(most_tokens=60, guesses=False))
    for number in range(4):
        decode(scheduler, ask(number, [number + 1] * 20, 2))
        assert (model.cache >= 0).sum() <= 60
    before = sum(model.calls)
    decode(scheduler, ask(8, [4] * 20, 2))
    assert sum(model.calls) - before == 1 + 1  # the newest is there still
    before = sum(model.calls)
    decode(scheduler, ask(9, [1] * 20, 2))
    assert sum(model.calls) - before == 20 + 1
