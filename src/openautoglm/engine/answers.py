"""Several answers to one prompt: as many requests, and their answers in one.

Owns how `SamplingParams.n` is carried out, for every backend alike. Knows nothing of backends.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from openautoglm.engine.sampling import MAX_SEED, SamplingParams
from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.engine.generation import Generation

_STRIDE: Final = 0x1E3779B97F4A7C15
"""Odd, so that the seeds differ; far from 1, so that they are not those of neighbours."""


def check_one_answer(params: SamplingParams) -> None:
    """Refuse several answers where text is given out as it comes.

    Raises:
        InvalidParameterError: `n` is above 1.
    """
    if params.n > 1:
        raise InvalidParameterError(
            "a stream gives one answer", got=f"n={params.n}", fix="use `run` or `batch`, or n=1"
        )


def of_answer(params: SamplingParams, number: int) -> SamplingParams:
    """Return the parameters of one of `n` answers: alone, with a seed of its own.

    The first has the seed that was given, so it is the same whatever `n` is.
    """
    if params.n == 1:
        return params
    seed = None if params.seed is None else (params.seed + number * _STRIDE) & MAX_SEED
    return replace(params, n=1, seed=seed)


def repeated(prompts: Iterable[object], n: int) -> Iterable[object]:
    """Yield every prompt n times."""
    return prompts if n == 1 else (prompt for prompt in prompts for _ in range(n))


def gathered(answers: Iterator[Generation], n: int) -> Iterator[Generation]:
    """Yield the first of every n answers, which has the rest as its `others`."""
    if n == 1:
        return answers
    return _gathered(answers, n)


def _gathered(answers: Iterator[Generation], n: int) -> Iterator[Generation]:
    for first in answers:
        yield replace(first, others=tuple(islice(answers, n - 1)))
