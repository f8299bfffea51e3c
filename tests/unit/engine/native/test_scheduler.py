from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.engine.backends.native.scheduler import Rules, Scheduler
from openautoglm.engine.backends.native.sequence import Event, Sequence
from openautoglm.engine.text_stream import TextStream
from openautoglm.errors import (
    InvalidParameterError,
    InvalidPromptError,
    KernelFailedError,
    ModelTooLargeError,
    OpenAutoGLMError,
    WeightsCorruptError,
)
from openautoglm.testing.toy_decoder import ToyModel, ToyParams, ToySampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

VOCABULARY = 16
ALONE = Rules(guesses=False, minimum=10_000)
NO_ERROR = type(None)


@dataclass
class Answer:
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    logprobs: list[object] = field(default_factory=list)
    reason: str | None = None
    error: OpenAutoGLMError | None = None

    def take(self, event: Event) -> None:
        assert self.reason is None, "an event came after the last"
        self.tokens += event.tokens
        self.text += event.text
        self.logprobs += event.logprobs
        self.reason, self.error = event.finish_reason, event.error

    @property
    def facts(self) -> tuple[object, ...]:
        return self.tokens, self.text, self.logprobs, self.reason, type(self.error)


class Alternating:
    """Allows odd and even tokens by turns, forces a few after each 5, ends after a 7."""

    def __init__(self, *, jumps: bool = True) -> None:
        self._count = 0
        self._due: list[int] = []
        self._jumps = jumps

    def mask(self) -> NDArray[np.int32]:
        tokens = self._due[:1] or range(self._count % 2, VOCABULARY, 2)
        return np.array([sum(1 << token for token in tokens)], np.int32)

    def accept(self, token: int) -> bool:
        assert self.mask()[0] >> token & 1
        self._count += 1
        self._due = self._due[1:] or ([2, 4, 9] if token == 5 else [])
        return token == 7

    def forced(self) -> list[int]:
        return list(self._due) if self._jumps else []


def letters(ids: Iterable[int]) -> str:
    return "".join("abcdefghijklmnop"[token] for token in ids)


def refresh(asked: Sequence) -> Sequence:
    """Return the same sequence with a text and a constraint of its own."""
    text = None if asked.text is None else TextStream(letters)
    constraint = None if asked.constraint is None else Alternating()
    return replace(asked, text=text, constraint=constraint)


def collect(scheduler: Scheduler, into: dict[int, Answer], steps: int = 10_000) -> None:
    for _ in range(steps):
        if scheduler.is_idle:
            return
        for event in scheduler.step():
            into.setdefault(event.sequence, Answer()).take(event)


def run(scheduler: Scheduler, *asked: Sequence) -> dict[int, Answer]:
    for sequence in asked:
        scheduler.add(sequence)
    answers: dict[int, Answer] = {}
    collect(scheduler, answers)
    assert scheduler.is_idle
    return answers


def alone(asked: Sequence, *, window: int = 0, context: int = 64) -> Answer:
    model = ToyModel(slots=1, context=context, rows=64, vocabulary=VOCABULARY, window=window)
    return run(Scheduler(model, ToySampler(), rules=ALONE), refresh(asked))[asked.id]


TOKENS = st.integers(0, VOCABULARY - 1)
BEGINNINGS = st.sampled_from([(), (1, 2, 3, 4), (1, 2, 3, 4, 5, 6, 7), (9, 8) * 8])


@st.composite
def sequences(draw: st.DrawFn, number: int = 0) -> Sequence:
    rest = draw(st.lists(TOKENS, min_size=1, max_size=12))
    has_text = draw(st.booleans())
    return Sequence(
        id=number,
        prompt=draw(BEGINNINGS) + tuple(rest),
        max_tokens=draw(st.integers(1, 30)),
        min_tokens=draw(st.sampled_from([0, 0, 3, 8])),
        params=ToyParams(
            temperature=draw(st.sampled_from([0.0, 0.0, 0.5])),
            presence=draw(st.sampled_from([0.0, 0.0, 0.3])),
            logprobs=draw(st.booleans()),
        ),
        seed=draw(st.sampled_from([0, 1])),
        eos=draw(st.sampled_from([frozenset[int](), frozenset({11}), frozenset({3, 12})])),
        stop=draw(st.sampled_from([(), ("ab",), ("cc", "da")])) if has_text else (),
        text=TextStream(letters) if has_text else None,
        constraint=draw(st.sampled_from([None, None, None, Alternating()])),
        guesses=draw(st.booleans()),
    )


@st.composite
def workloads(draw: st.DrawFn) -> list[tuple[int, Sequence, int | None]]:
    """Return (steps before it comes, sequence, steps until it is cancelled), some of them twins."""
    asked = draw(st.lists(sequences(), min_size=1, max_size=9))
    asked += draw(st.lists(st.sampled_from(asked), max_size=4))
    waits = st.sampled_from([0, 0, 0, 1, 2, 5])
    ends = st.sampled_from([None, None, None, 0, 1, 4])
    return [
        (draw(waits), replace(refresh(one), id=number), draw(ends))
        for number, one in enumerate(asked)
    ]


@settings(max_examples=300, deadline=None)
@given(
    workload=workloads(),
    slots=st.integers(1, 6),
    rows=st.integers(1, 24),
    window=st.sampled_from([0, 1, 2]),
    rules=st.builds(
        Rules,
        order=st.sampled_from(["arrival", "free"]),
        most_tokens=st.sampled_from([None, 64, 100]),
        catch_up=st.sampled_from([None, 1, 4]),
        kept=st.integers(0, 2),
        minimum=st.sampled_from([1, 3, 4, 16]),
        guesses=st.booleans(),
        step_rows=st.sampled_from([0.0, 2.0, 100.0]),
    ),
)
def test_every_sequence_gets_what_it_gets_alone(
    workload: list[tuple[int, Sequence, int | None]],
    slots: int,
    rows: int,
    window: int,
    rules: Rules,
) -> None:
    model = ToyModel(
        slots=slots + rules.kept, context=64, rows=rows, vocabulary=VOCABULARY, window=window
    )
    scheduler = Scheduler(model, ToySampler(), rules=rules)
    answers: dict[int, Answer] = {}
    cancels: list[tuple[int, int]] = []
    now = 0
    for wait, asked, end in workload:
        for _ in range(wait):
            cancel_due(scheduler, cancels, now)
            collect(scheduler, answers, steps=1)
            now += 1
        scheduler.add(asked)
        if end is not None:
            cancels.append((now + end, asked.id))
    while not scheduler.is_idle:
        cancel_due(scheduler, cancels, now)
        collect(scheduler, answers, steps=1)
        now += 1
        assert now < 10_000
    for _, asked, _ in workload:
        got, expected = answers[asked.id], alone(asked, window=window)
        if got.reason == "cancelled":
            assert got.tokens == expected.tokens[: len(got.tokens)]
            assert expected.text.startswith(got.text) or asked.stop
        else:
            assert got.facts == expected.facts
    assert max(model.calls, default=0) <= rows


def cancel_due(scheduler: Scheduler, cancels: list[tuple[int, int]], now: int) -> None:
    for due, sequence in cancels:
        if due == now:
            scheduler.cancel(sequence)


@settings(max_examples=200, deadline=None)
@given(asked=sequences(), window=st.sampled_from([1, 2, 3]), worth=st.sampled_from([1.0, 30.0]))
def test_guesses_change_no_token(asked: Sequence, window: int, worth: float) -> None:
    model = ToyModel(slots=1, context=64, vocabulary=VOCABULARY, window=window)
    scheduler = Scheduler(model, ToySampler(), rules=Rules(step_rows=worth))
    got = run(scheduler, replace(refresh(asked), guesses=True))
    assert got[0].facts == alone(asked, window=window).facts


@settings(max_examples=100, deadline=None)
@given(asked=sequences())
def test_forced_tokens_change_no_token(asked: Sequence) -> None:
    plain = replace(
        asked, constraint=Alternating(jumps=False), text=None, stop=(), params=ToyParams()
    )
    model = ToyModel(slots=1, context=64, vocabulary=VOCABULARY)
    got = run(Scheduler(model, ToySampler()), replace(plain, constraint=Alternating()))
    slow = ToyModel(slots=1, context=64, vocabulary=VOCABULARY)
    expected = run(Scheduler(slow, ToySampler()), plain)
    assert got[0].facts == expected[0].facts
    assert len(model.calls) <= len(slow.calls)


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
    scheduler.add(ask(1, [1, 2], 40))
    scheduler.step()
    scheduler.add(ask(2, [3, 4] * 20, 4))
    for _ in range(4):
        scheduler.step()
    assert model.calls == [2, 11, 11, 11, 11]


def test_a_beginning_of_many_prompts_is_computed_once() -> None:
    beginning = [1, 5, 9, 2] * 10
    asked = [ask(n, [*beginning, n, n + 1]) for n in range(8)]
    model, scheduler = make(slots=4, rules=Rules(guesses=False))
    answers = run(scheduler, *asked)
    assert sum(model.calls) == 40 + 8 * 2 + 8 * 3
    assert scheduler.tally.found == 7 * 40
    assert all(answers[one.id].facts == alone(one, context=128).facts for one in asked)


def test_a_kept_beginning_outlives_the_prompts_that_had_it() -> None:
    ours, other = [1, 5, 9, 2] * 5, [7, 7, 3, 0] * 5
    model, scheduler = make(slots=2, rules=Rules(kept=1, guesses=False))
    run(scheduler, ask(1, [*ours, 1, 1]), ask(2, [*ours, 2, 2]))
    run(scheduler, ask(3, [4, *other]))
    before = sum(model.calls)
    run(scheduler, ask(4, [*ours, 3, 3]))
    assert sum(model.calls) - before == 2 + 3


def test_samples_of_one_prompt_share_its_computation() -> None:
    params = ToyParams(temperature=1.0)
    asked = [replace(ask(n, [1, 2, 3, 4] * 8), params=params, seed=n) for n in range(4)]
    model, scheduler = make(rules=Rules(guesses=False))
    answers = run(scheduler, *asked)
    assert sum(model.calls) == 32 + 3 + 4 * 3
    assert len({tuple(answer.tokens) for answer in answers.values()}) > 1


def test_identical_sequences_are_computed_once_and_one_may_come_late_or_leave() -> None:
    model, scheduler = make(rules=Rules(guesses=False))
    answers: dict[int, Answer] = {}
    scheduler.add(ask(1, [1, 2, 3], 8))
    scheduler.add(ask(2, [1, 2, 3], 8))
    collect(scheduler, answers, steps=3)
    scheduler.add(ask(3, [1, 2, 3], 8))
    scheduler.cancel(1)
    collect(scheduler, answers)
    assert [answers[n].reason for n in (1, 2, 3)] == ["cancelled", "length", "length"]
    assert answers[2].tokens == answers[3].tokens == alone(ask(1, [1, 2, 3], 8)).tokens
    assert sum(model.calls) == 3 + 7
    assert scheduler.tally.shared == 2


def test_a_prompt_that_is_too_long_is_refused_with_the_numbers_and_the_others_run() -> None:
    _, scheduler = make()
    answers = run(scheduler, ask(1, [1] * 200), ask(2, [1, 2]), ask(3, []), ask(4, [99]))
    assert isinstance(answers[1].error, InvalidPromptError)
    assert "200 tokens" in str(answers[1].error)
    assert "holds 128" in str(answers[1].error)
    assert [answers[n].reason for n in (1, 2, 3, 4)] == ["error", "length", "error", "error"]


def test_numbers_that_are_not_numbers_end_the_row_that_has_them() -> None:
    _, scheduler = make(fault=lambda seen: seen[0] == 6 and len(seen) == 4)
    answers = run(scheduler, ask(1, [1, 2], 6), ask(2, [6, 2], 6))
    assert answers[1].facts == alone(ask(1, [1, 2], 6)).facts
    assert isinstance(answers[2].error, WeightsCorruptError)
    assert len(answers[2].tokens) == 2


def test_a_kernel_that_fails_for_one_row_ends_that_row() -> None:
    def fault(seen: tuple[int, ...]) -> bool:
        if seen[0] == 6:
            raise KernelFailedError("the kernel failed", fix="none")
        return False

    _, scheduler = make(fault=fault)
    answers = run(scheduler, *(ask(n, [n, 2], 6) for n in range(4, 8)))
    assert isinstance(answers[6].error, KernelFailedError)
    for number in (4, 5, 7):
        assert answers[number].facts == alone(ask(number, [number, 2], 6)).facts


@pytest.mark.parametrize("most", [1, 2, 5])
def test_when_memory_runs_out_steps_get_smaller_and_the_rows_survive(most: int) -> None:
    model, scheduler = make(slots=4, most=most)
    asked = [ask(n, [n, 2, 3, 4, 5], 6) for n in range(4)]
    answers = run(scheduler, *asked)
    assert all(answers[one.id].facts == alone(one).facts for one in asked)
    assert scheduler.most_rows <= most
    assert max(model.calls) <= most


def test_a_row_that_has_no_room_even_alone_ends_with_an_error() -> None:
    _, scheduler = make(most=0)
    answers = run(scheduler, ask(1, [1, 2]), ask(2, [1, 3]))
    assert all(isinstance(answer.error, ModelTooLargeError) for answer in answers.values())


def test_the_tokens_in_use_stay_within_what_is_allowed() -> None:
    _, scheduler = make(rules=Rules(most_tokens=30))
    for number in range(4):
        scheduler.add(ask(number, [number, 2], 8))
    scheduler.step()
    assert scheduler.running == 3
    assert scheduler.waiting == 1
    collect(scheduler, {})


def test_where_order_is_free_the_longest_and_those_alike_come_first() -> None:
    rules = Rules(order="free", minimum=2, guesses=False)
    _, scheduler = make(slots=1, rules=rules)
    asked = [ask(0, [1, 1, 1], 2), ask(1, [2, 2, 2], 9), ask(2, [3, 3, 1], 5), ask(3, [2, 2, 3], 3)]
    assert list(run(scheduler, *asked)) == [1, 3, 2, 0]


def test_a_copying_answer_takes_fewer_steps() -> None:
    model, scheduler = make(window=1)
    run(scheduler, ask(1, range(16), 80))
    assert len(model.calls) < 40
    assert scheduler.tally.right / scheduler.tally.guessed > 0.5


def test_guesses_that_are_wrong_end_soon() -> None:
    model, scheduler = make(window=0, rules=Rules(step_rows=2.0))
    run(scheduler, ask(1, [1, 2] * 8, 100))
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
    answer = run(scheduler, asked)[1]
    assert answer.tokens[:4] == [3] * 4
