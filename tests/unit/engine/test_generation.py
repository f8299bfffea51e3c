"""An answer as a value."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

from openautoglm import AutoGLM
from openautoglm.testing import EchoBackend

NAME = {
    "type": "object",
    "properties": {"name": {"type": "string", "x-extractive": True}},
    "required": ["name"],
    "additionalProperties": False,
}


def test_a_generation_can_be_pickled_and_copied() -> None:
    with AutoGLM(backend=EchoBackend()) as engine:
        answers = [
            engine.run("who", schema=NAME, source="Ana Ruiz"),
            *engine.batch(["x", ""], on_error="keep"),
        ]
    for answer in answers:
        pickled = pickle.dumps(answer)
        for again in (pickle.loads(pickled), copy.deepcopy(answer)):  # noqa: S301 - our own
            assert replace(again, error=None) == replace(answer, error=None)
            assert str(again.error) == str(answer.error)
    assert answers[0].offsets
    assert answers[2].error
