"""Plain calls of a contribution have around them what a pipeline would have."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - read with the step's annotations
from typing import ClassVar

from openautoglm.pipeline.step import Step, StepContext
from openautoglm.plugins.trial.plain_calls import call
from openautoglm.plugins.trial.requests import Request


class Asks(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"said": "what the model says"}

    def run(self, *, text: str, context: StepContext) -> Mapping[str, object]:
        asked = context.engine.batch([text, text])
        return {"said": (str(answer) for answer in asked)}


def test_a_step_that_asks_the_model_is_called_with_one_that_says_it_back() -> None:
    answer = call("step", Asks, Asks, Request(contribution="asks", kwargs={"text": "hello"}))
    assert answer == {"said": ["hello", "hello"]}
