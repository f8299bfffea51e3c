from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from openautoglm import SamplingParams
from openautoglm.engine.backend import Request
from openautoglm.errors import ModelTooLargeError, WeightsCorruptError

from .watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    Load = Callable[..., Watched]

TEXTS: Final = (
    "dog",
    "the quick brown fox",
    "a",
    "fox " * 7,
    "jumps",
    "lazy dog " * 4,
    "over",
    "q",
)
JOINING: Final = ("gpt2", "gemma2", "gemma3", "phi", "opt", "falcon", "bloom", "mixtral", "llama")
ALONE: Final = ("mamba", "bart")


@pytest.fixture
def load(
    random_model: Callable[..., PreTrainedModel], tiny_tokenizer: PreTrainedTokenizerFast
) -> Load:
    def make(family: str = "llama", batch_size: int = 4) -> Watched:
        return Watched(random_model(family), tiny_tokenizer, batch_size=batch_size, context=256)

    return make


def asked(
    texts: Sequence[str] = TEXTS, *, temperature: float = 0.0, seed: int | None = None
) -> list[Request]:
    """Return requests whose neighbours get answers of other lengths."""
    return [
        Request(
            prompt=text,
            params=SamplingParams(
                max_length=3 + 5 * index % 13, temperature=temperature, seed=seed
            ),
        )
        for index, text in enumerate(texts)
    ]


def alone(loaded: Watched, requests: Sequence[Request]) -> list[str]:
    return ["".join(loaded.alone(request)[0]) for request in requests]


@pytest.mark.parametrize("family", [*JOINING, *ALONE])
def test_rows_that_come_and_go_answer_as_alone(load: Load, family: str) -> None:
    loaded = load(family)
    requests = asked()
    answers = loaded.together(requests)
    assert [answers[i].text for i in range(len(requests))] == alone(loaded, requests)
    assert all(answer.completion_tokens for answer in answers)
    assert loaded.network.can_join is (family in JOINING)


def test_places_that_fall_free_are_filled(load: Load) -> None:
    loaded = load()
    assert loaded.network.can_join
    requests = asked(TEXTS * 4)
    loaded.together(requests)
    steps = [rows for rows, width in loaded.shapes if width == 1]
    tokens = sum(request.params.max_length - 1 for request in requests)
    assert sum(steps) == tokens
    assert max(steps) == 4
    assert len(steps) < tokens / 4 * 1.3


def test_prompts_of_unlike_lengths_are_not_padded_to_the_longest(load: Load) -> None:
    loaded = load(batch_size=8)
    assert loaded.network.can_join
    loaded.together(asked(["a"] * 6 + ["fox " * 16] * 2))
    first = sorted(shape for shape in loaded.shapes if shape[1] > 1)
    assert [rows for rows, _ in first] == [2, 6]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_rows_survive_when_memory_runs_out(load: Load, temperature: float) -> None:
    loaded = load()
    requests = asked(temperature=temperature, seed=3)
    expected = alone(loaded, requests)
    assert loaded.network.can_join
    seen: list[int] = []

    def fits(rows: int, _width: int) -> bool:
        seen.append(rows)
        return rows <= 2 or len(seen) < 5

    loaded.limit = fits
    answers = loaded.together(requests)
    assert max(seen) == 4
    assert max(seen[6:]) == 2
    assert [answers[i].text for i in range(len(requests))] == expected
    assert not any(answer.error for answer in answers)


def test_a_row_for_which_memory_is_short_alone_fails_alone(load: Load) -> None:
    loaded = load()
    requests = asked(["a", "fox " * 7, "b", "fox"])
    long = len(loaded.ids("fox " * 7))
    loaded.limit = lambda _rows, width: width < long
    answers = loaded.together(requests)
    assert isinstance(answers[1].error, ModelTooLargeError)
    assert [answers[i].finish_reason for i in (0, 2, 3)] == ["length"] * 3


def test_a_row_that_is_cancelled_leaves_and_the_others_go_on(load: Load) -> None:
    loaded = load()
    requests = asked()
    last = max(requests, key=lambda request: request.params.max_length)
    expected = alone(loaded, requests)
    answers = {}
    for index, answer in loaded.backend.batch(requests):
        answers[index] = answer
        last.cancel.set()
    chosen = requests.index(last)
    assert answers[chosen].finish_reason == "cancelled"
    assert expected[chosen].startswith(answers[chosen].text.rstrip("\ufffd"))
    others = [i for i in range(len(requests)) if i != chosen]
    assert [answers[i].text for i in others] == [expected[i] for i in others]


def test_a_row_that_computes_nan_fails_alone(load: Load) -> None:
    loaded = load()
    requests = asked(["dog", "Zoë", "over", "a"])
    expected = alone(loaded, requests)
    others = {token for text in ("dog", "over", "a") for token in loaded.ids(text)}
    token = next(token for token in loaded.ids("Zoë") if token not in others)
    loaded.model.get_input_embeddings().weight[token] = float("nan")
    answers = loaded.together(requests)
    assert isinstance(answers[1].error, WeightsCorruptError)
    assert [answers[i].text for i in (0, 2, 3)] == [expected[i] for i in (0, 2, 3)]
