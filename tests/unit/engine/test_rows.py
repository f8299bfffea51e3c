from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import AutoGLM
from openautoglm.errors import InvalidParameterError
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = {
    "type": "object",
    "properties": {"name": {"type": "string", "x-extractive": True}},
    "required": ["name"],
    "additionalProperties": False,
}
LISTS: list[dict[str, Any]] = [
    {"schema": [NAME, None, NAME]},
    {"source": ["a", "b", "c"]},
    {"regex": ["a", "b", "c"]},
    {"grammar": ("start: /a/",) * 3},
    {"response_format": [{"type": "text"}] * 3},
    {"adapter": [None] * 3},
]


@pytest.fixture
def engine() -> Iterator[AutoGLM]:
    with AutoGLM(backend=EchoBackend()) as engine:
        yield engine


def test_a_schema_may_differ_from_row_to_row(engine: AutoGLM) -> None:
    answers = list(engine.batch(["ab", "cd"], schema=[NAME, None]))
    assert [a.parsed for a in answers] == [{"name": "ab"}, None]


@pytest.mark.parametrize("prompts", [[], ["ab", "cd"], ["ab"] * 4], ids=len)
@pytest.mark.parametrize("lists", LISTS, ids=str)
def test_a_list_of_another_length_is_refused_before_anything_is_computed(
    engine: AutoGLM, lists: dict[str, Any], prompts: list[str]
) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        engine.batch(prompts, on_error="keep", **lists)
    (name,) = lists
    assert f"`{name}`" in caught.value.problem
    assert caught.value.got == f"3 entries, {len(prompts)} prompts"


def test_a_list_longer_than_prompts_of_a_generator_is_refused_after_their_answers(
    engine: AutoGLM,
) -> None:
    answers = engine.batch((text for text in ("ab", "cd")), regex=["a", "b", "c"], n=2)
    assert [next(answers).text, next(answers).text] == ["a", "b"]
    with pytest.raises(InvalidParameterError) as caught:
        next(answers)
    assert caught.value.got == "3 entries, 2 prompts"


def test_a_list_shorter_than_prompts_of_a_generator_is_an_error_of_the_first_row_without(
    engine: AutoGLM,
) -> None:
    answers = engine.batch(repeat("ab"), schema=[NAME])
    assert next(answers).parsed == {"name": "ab"}
    with pytest.raises(InvalidParameterError, match=r"prompts\[1\]: `schema` has fewer entries"):
        next(answers)


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_what_counts_for_all_rows_has_no_length(engine: AutoGLM, count: int) -> None:
    answers = engine.batch(["ab"] * count, choice=["yes", "no", "perhaps"])
    assert len(list(answers)) == count
