from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from openautoglm.engine.answers import of_answer
from openautoglm.engine.autoglm import AutoGLM
from openautoglm.engine.backend import ModelInfo, Request, one_by_one
from openautoglm.engine.generation import Generation
from openautoglm.engine.sampling import MAX_SEED, SamplingParams
from openautoglm.errors import InvalidParameterError, InvalidPromptError
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class SeedBackend:
    """Answers with the seed it was given."""

    def describe(self) -> ModelInfo:
        return ModelInfo(backend="seed", model="seed", sampling=("seed", "min_p"))

    def count_tokens(self, text: str) -> int:
        return len(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        assert request.params.n == 1
        yield Generation(text=f"{request.prompt} {request.params.seed}", finish_reason="stop")

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        return one_by_one(self, requests)

    def close(self) -> None:
        pass


def test_the_first_of_several_answers_has_the_others() -> None:
    with AutoGLM(backend=SeedBackend(), seed=5) as engine:
        alone = engine.run("a").text
        answer = engine.run("a", n=3)
        texts = [answer.text, *(other.text for other in answer.others)]
        assert texts[0] == alone
        assert len(set(texts)) == 3
        assert engine.run("a").others == ()


def test_every_prompt_of_a_batch_gets_as_many_answers_and_its_own_source() -> None:
    with AutoGLM(backend=SeedBackend()) as engine:
        answers = list(engine.batch(["a", "b"], n=2, source=["x", "y"], seed=1))
        texts = [[answer.text, *(one.text for one in answer.others)] for answer in answers]
        assert [{text[0] for text in row} for row in texts] == [{"a"}, {"b"}]
        assert [len(row) for row in texts] == [2, 2]
        assert [t[2:] for t in texts[0]] == [t[2:] for t in texts[1]]


def test_a_row_that_fails_is_named_by_its_prompt_however_many_answers_each_gets() -> None:
    with (
        AutoGLM(backend=SeedBackend()) as engine,
        pytest.raises(InvalidPromptError, match=r"prompts\[1\]"),
    ):
        list(engine.batch(["a", "", "c"], n=3))


def test_several_answers_come_from_a_worker_thread_too() -> None:
    with AutoGLM(backend=SeedBackend(), seed=5) as engine:
        answer = asyncio.run(engine.arun("a", n=3))
        assert answer == engine.run("a", n=3)
        assert len(answer.others) == 2


def test_a_stream_refuses_several_answers() -> None:
    with (
        AutoGLM(backend=EchoBackend()) as engine,
        pytest.raises(InvalidParameterError, match="n=2"),
    ):
        engine.stream("a", n=2)


def test_seeds_of_answers_differ_and_stay_seeds() -> None:
    params = SamplingParams(seed=MAX_SEED, n=128)
    seeds = [of_answer(params, number).seed for number in range(128)]
    assert len(set(seeds)) == 128
    assert of_answer(SamplingParams(n=2), 1).seed is None


def test_what_a_backend_does_not_honour_is_refused_and_those_that_do_are_named() -> None:
    with AutoGLM(backend=SeedBackend()) as engine:
        assert engine.run("a", min_p=0.1).text
        with pytest.raises(InvalidParameterError) as caught:
            engine.run("a", repetition_penalty=1.2)
    assert "`repetition_penalty`" in caught.value.problem
    assert '"transformers"' in str(caught.value.fix)


def test_parameters_of_the_engine_hold_for_its_calls() -> None:
    with AutoGLM(backend=SeedBackend(), n=2, seed=3) as engine:
        assert len(engine.run("a").others) == 1
        assert engine.run("a", n=1).others == ()
