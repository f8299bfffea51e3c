"""What a row brings along, a constraint or a tokenizer, breaks that row alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from openautoglm.engine.backend import ModelInfo, Request
from openautoglm.engine.backends.native.backend import NativeBackend
from openautoglm.engine.backends.native.scheduling.scheduler import Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.engine.backends.native.text.tokens import Tokens
from openautoglm.engine.model_folder import inspect
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import BackendRequestError
from openautoglm.testing.toy_decoder import ToyModel, ToySampler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from openautoglm.engine.prompt import Prompt
    from openautoglm.engine.structured import Grammar


class ClosingModel(ToyModel):  # type: ignore[misc] # final, but a test may add what it lacks
    def close(self) -> None:
        pass


class BreakingConstraint:
    """Follows nothing, and raises where it is told to."""

    def __init__(self, place: str) -> None:
        self._place = place

    def mask(self) -> NDArray[np.int32]:
        self._break("mask")
        import numpy as np

        return np.full(1, 0xFFFF, np.int32)

    def allows(self, token: int) -> bool:
        del token
        self._break("allows")
        return False

    def accept(self, token: int) -> bool:
        del token
        self._break("accept")
        return False

    def forced(self) -> list[int]:
        self._break("forced")
        return []

    def _break(self, place: str) -> None:
        if place == self._place:
            raise ZeroDivisionError(f"in {place}")


class BreakingText:
    """A detokenizer that raises where it is told to."""

    def __init__(self, place: str) -> None:
        self._place = place

    def push(self, token: int) -> str:
        if self._place == "push":
            raise ZeroDivisionError("in push")
        return f"{token} "

    def end(self) -> str:
        if self._place == "end":
            raise ZeroDivisionError("in end")
        return ""


def check_only_the_first_fails(bad: Sequence, place: str) -> None:
    scheduler = Scheduler(ToyModel(slots=4, context=32), ToySampler())
    scheduler.add(bad)
    scheduler.add(Sequence(id=2, prompt=(3, 1), max_tokens=6))
    events = [event for _ in range(8) for event in scheduler.step()]
    (failure,) = (e.error for e in events if e.sequence == 1 and e.finish_reason is not None)
    assert isinstance(failure, BackendRequestError)
    assert f"ZeroDivisionError: in {place}" in str(failure)
    assert sum(len(e.tokens) for e in events if e.sequence == 2) == 6
    assert [e.finish_reason for e in events if e.sequence == 2][-1] == "length"
    assert scheduler.is_idle


@pytest.mark.parametrize("place", ["mask", "allows", "accept", "forced"])
def test_a_constraint_that_raises_fails_its_row_alone(place: str) -> None:
    constraint = BreakingConstraint(place)
    bad = Sequence(id=1, prompt=(3, 4), max_tokens=6, constraint=constraint)
    check_only_the_first_fails(bad, place)


@pytest.mark.parametrize("place", ["push", "end"])
def test_a_detokenizer_that_raises_fails_its_row_alone(place: str) -> None:
    bad = Sequence(id=1, prompt=(3, 4), max_tokens=6, text=BreakingText(place))
    check_only_the_first_fails(bad, place)


def test_a_row_that_is_cancelled_ends_though_its_detokenizer_raises() -> None:
    scheduler = Scheduler(ToyModel(slots=4, context=32), ToySampler())
    scheduler.add(Sequence(id=1, prompt=(3, 4), max_tokens=6, text=BreakingText("end")))
    scheduler.step()
    scheduler.cancel(1)
    assert [e.finish_reason for e in scheduler.step()] == ["cancelled"]


class BreakingTokens:
    """A tokenizer that cannot read one of the prompts, whatever the reason."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokens, name)

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        if prompt == "bad":
            raise ZeroDivisionError("in encode")
        return self._tokens.encode_prompt(prompt)


class BreakingGrammar:
    """A grammar that cannot be begun."""

    text = "bad"

    def constraint(self, *_: object) -> object:
        raise ZeroDivisionError("in constraint")


def test_a_row_that_cannot_begin_is_an_error_whatever_was_raised(
    tiny_model: Callable[..., Path],
) -> None:
    tokens = BreakingTokens(Tokens(inspect(tiny_model())))
    model = ClosingModel(slots=4, context=128, vocabulary=320)
    info = ModelInfo(backend="native", model="toy", context_length=128, concurrency=2)
    backend = NativeBackend(model, ToySampler(), cast("Tokens", tokens), info)
    params = SamplingParams(max_length=3)
    rows = [
        Request(prompt="dog", params=params),
        Request(prompt="bad", params=params),
        Request(prompt="dog", params=params, grammar=cast("Grammar", BreakingGrammar())),
        Request(prompt="fox", params=params),
    ]
    answers = dict(backend.batch(rows))
    assert [answers[i].finish_reason for i in range(4)] == ["length", "error", "error", "length"]
    assert "ZeroDivisionError: in encode" in str(answers[1].error)
    assert "ZeroDivisionError: in constraint" in str(answers[2].error)
    backend.close()
