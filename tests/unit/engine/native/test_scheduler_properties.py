from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.engine.backends.native.scheduling.scheduler import Rules, Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.engine.text_stream import TextStream
from openautoglm.testing.toy_decoder import (
    ToyAdapter,
    ToyAnswer,
    ToyConstraint,
    ToyModel,
    ToyParams,
    ToySampler,
    decode,
    follow,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

VOCABULARY = 16
ALONE = Rules(guesses=False, minimum=10_000)


def letters(ids: Iterable[int]) -> str:
    return "".join("abcdefghijklmnop"[token] for token in ids)


def refresh(asked: Sequence) -> Sequence:
    """Return the same sequence with a text and a constraint of its own."""
    text = None if asked.text is None else TextStream(letters)
    constraint = None if asked.constraint is None else ToyConstraint()
    return replace(asked, text=text, constraint=constraint)


def alone(asked: Sequence, *, window: int = 0, context: int = 64) -> ToyAnswer:
    model = ToyModel(slots=1, context=context, rows=64, vocabulary=VOCABULARY, window=window)
    return decode(Scheduler(model, ToySampler(), rules=ALONE), refresh(asked))[asked.id]


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
        adapter=draw(st.sampled_from([None, None, ToyAdapter(1), ToyAdapter(2)])),
        constraint=draw(st.sampled_from([None, None, None, ToyConstraint()])),
        guesses=draw(st.booleans()),
        is_awaited=draw(st.booleans()),
        is_free=draw(st.booleans()),
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


@settings(max_examples=150, deadline=None)
@given(
    workload=workloads(),
    slots=st.integers(1, 6),
    rows=st.integers(1, 24),
    window=st.sampled_from([0, 1, 2]),
    rules=st.builds(
        Rules,
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
    answers: dict[int, ToyAnswer] = {}
    cancels: list[tuple[int, int]] = []
    now = 0
    for wait, asked, end in workload:
        for _ in range(wait):
            cancel_due(scheduler, cancels, now)
            follow(scheduler, answers, steps=1)
            now += 1
        scheduler.add(asked)
        if end is not None:
            cancels.append((now + end, asked.id))
    while not scheduler.is_idle:
        cancel_due(scheduler, cancels, now)
        follow(scheduler, answers, steps=1)
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
    if rules.most_tokens is not None:
        assert (model.cache[:slots] >= 0).sum() <= rules.most_tokens


def cancel_due(scheduler: Scheduler, cancels: list[tuple[int, int]], now: int) -> None:
    for due, sequence in cancels:
        if due == now:
            scheduler.cancel(sequence)


@settings(max_examples=200, deadline=None)
@given(asked=sequences(), window=st.sampled_from([1, 2, 3]), worth=st.sampled_from([1.0, 30.0]))
def test_guesses_change_no_token(asked: Sequence, window: int, worth: float) -> None:
    model = ToyModel(slots=1, context=64, vocabulary=VOCABULARY, window=window)
    scheduler = Scheduler(model, ToySampler(), rules=Rules(step_rows=worth))
    got = decode(scheduler, replace(refresh(asked), guesses=True))
    assert got[0].facts == alone(asked, window=window).facts


@settings(max_examples=100, deadline=None)
@given(asked=sequences())
def test_forced_tokens_change_no_token(asked: Sequence) -> None:
    plain = replace(
        asked, constraint=ToyConstraint(jumps=False), text=None, stop=(), params=ToyParams()
    )
    model = ToyModel(slots=1, context=64, vocabulary=VOCABULARY)
    got = decode(Scheduler(model, ToySampler()), replace(plain, constraint=ToyConstraint()))
    slow = ToyModel(slots=1, context=64, vocabulary=VOCABULARY)
    expected = decode(Scheduler(slow, ToySampler()), plain)
    assert got[0].facts == expected[0].facts
    assert len(model.calls) <= len(slow.calls)
