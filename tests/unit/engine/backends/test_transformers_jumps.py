"""What a grammar forces is read in few steps, and the answers stay what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
import torch

from openautoglm import SamplingParams
from openautoglm.engine.backend import Request
from openautoglm.engine.structured import compile_schema

from .watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    Load = Callable[..., Watched]

FAMILIES: Final = ("gpt2", "gemma3_wide", "phi", "opt", "falcon", "bloom", "mixtral", "llama")
REFUSING: Final = ("mamba", "bart", "gemma2")
TEXTS: Final = ("dog", "the quick brown fox", "a", "fox jumps", "over", "q")
ROOM: Final = 28


def schema(*names: str) -> Mapping[str, object]:
    """Return one whose answers have long names and short values."""
    return {
        "type": "object",
        "properties": {name: {"type": "integer", "minimum": 0, "maximum": 9} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }


TWO: Final = schema("quick", "fo")
SCHEMAS: Final = (TWO, schema("a", "lazy", "q"), None)


@pytest.fixture
def load(
    random_model: Callable[..., PreTrainedModel], tiny_tokenizer: PreTrainedTokenizerFast
) -> Load:
    eos = frozenset({tiny_tokenizer.eos_token_id})

    def make(family: str = "llama", batch_size: int = 1) -> Watched:
        model = random_model(family)
        return Watched(model, tiny_tokenizer, batch_size=batch_size, context=64, eos=eos)

    return make


def one_by_one(loaded: Watched) -> Watched:
    """Read token by token from now on."""
    loaded.network.can_jump = False
    return loaded


def by_masks(loaded: Watched, request: Request) -> tuple[list[int], int]:
    """Return the greedy answer's tokens by nothing but masks, and how many were a choice."""
    ids = loaded.ids(request.prompt)
    view = loaded.backend._view()
    constraint = None if request.grammar is None else request.grammar.constraint(view)
    answer: list[int] = []
    choices = 0
    while len(answer) < request.params.max_length and not (constraint and constraint.is_done):
        with torch.inference_mode():
            logits = loaded.model(input_ids=torch.tensor([ids + answer])).logits[0, -1].numpy()
        allowed = np.ones(logits.shape, dtype=bool) if constraint is None else constraint.mask()
        choices += int(allowed.sum()) > 1
        answer.append(int(np.where(allowed, logits, -np.inf).argmax()))
        if answer[-1] in loaded.network.eos:
            return answer[:-1], choices
        if constraint is not None:
            constraint.accept(answer[-1])
    return answer, choices


def ask(text: str, form: Mapping[str, object] | None = TWO, **params: object) -> Request:
    given = {"max_length": ROOM} | params
    return Request(
        prompt=text,
        params=SamplingParams(**given),  # type: ignore[arg-type] # a table of names
        grammar=None if form is None else compile_schema(form),
    )


def requests(**params: object) -> list[Request]:
    """Return requests whose neighbours have other forms, one in three none."""
    return [ask(text, SCHEMAS[i % 3], **params) for i, text in enumerate(TEXTS)]


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("family", [*FAMILIES, *REFUSING])
def test_a_greedy_answer_is_the_one_that_masks_alone_give(
    load: Load, family: str, batch_size: int
) -> None:
    loaded = load(family, batch_size)
    asked = requests()
    for request, answer in zip(asked, loaded.together(asked), strict=True):
        tokens, _ = by_masks(loaded, request)
        assert answer.text == loaded.text(tokens)
        assert answer.completion_tokens == len(tokens)
    assert loaded.network.can_mix is (family in FAMILIES)


@pytest.mark.parametrize("family", [*FAMILIES, "gemma2"])
def test_alone_only_choices_take_a_step(load: Load, family: str) -> None:
    loaded = load(family)
    request = ask("dog")
    tokens, choices = by_masks(loaded, request)
    _, answer = loaded.alone(request)
    assert answer.completion_tokens == len(tokens)
    assert loaded.network.can_jump
    loaded.alone(request)
    assert len(loaded.shapes) == choices < len(tokens) / 3


def test_a_batch_takes_fewer_steps(load: Load) -> None:
    loaded, plain = load(batch_size=3), one_by_one(load(batch_size=3))
    assert loaded.network.can_join
    assert plain.network.can_join
    assert loaded.network.can_jump
    assert loaded.network.can_mix
    asked = [ask(text, SCHEMAS[i % 2]) for i, text in enumerate(TEXTS)]
    answers = loaded.together(asked)
    assert [answer.text for answer in plain.together(asked)] == [each.text for each in answers]
    assert len(loaded.shapes) < len(plain.shapes) / 2
    assert len({rows for rows, width in loaded.shapes if width > 1}) > 1


def test_a_row_jumps_beside_one_that_does_not(load: Load) -> None:
    loaded = load(batch_size=2)
    assert loaded.network.can_join
    assert loaded.network.can_jump
    assert loaded.network.can_mix
    loaded.together([ask("dog"), ask("dog", None)])
    assert [rows for rows, width in loaded.shapes[1:] if width > 1] == [2]


def test_what_rows_read_unevenly_leaves_no_gap(load: Load) -> None:
    network = load().network
    _, places = network.first([[1, 2, 3], [1, 2, 3, 4, 5]])
    for tokens in ([[1, 2, 3, 4], [5]], [[1], [2, 3]], [[1, 2, 3, 4], [5]]):
        network.next(tokens, places)
    assert places.mask.sum(1).tolist() == [12, 9]
    assert places.longest == 12
    assert places.cache.get_seq_length() == 12
    logits = network.next([[1], [6]], places)
    expected, _ = network.first([[1, 2, 3, 4, 5, 5, 2, 3, 5, 6]])
    assert torch.allclose(logits[1], expected[0], atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("family", ["llama", "gemma3_wide", "gpt2", "gemma2"])
def test_chance_is_the_same_with_jumps_and_without(
    load: Load, family: str, batch_size: int
) -> None:
    loaded, plain = load(family, batch_size), one_by_one(load(family, batch_size))
    found = set()
    for seed in range(3):
        asked = requests(temperature=1.5, seed=seed)
        texts = [answer.text for answer in loaded.together(asked)]
        assert texts == [answer.text for answer in plain.together(asked)]
        assert texts[3] == loaded.alone(asked[3])[1].text
        found.add(texts[0])
    assert len(found) > 1


def test_the_greatest_length_may_cut_a_run(load: Load) -> None:
    loaded = load()
    whole, _ = by_masks(loaded, ask("dog"))
    first = len(compile_schema(TWO).constraint(loaded.backend._view()).forced())
    assert first > 2
    for room in range(first, len(whole)):
        pieces, answer = loaded.alone(ask("dog", max_length=room))
        assert answer.text == loaded.text(whole[:room]) == "".join(pieces)
        assert (answer.completion_tokens, answer.finish_reason) == (room, "length")
    assert loaded.alone(ask("dog", max_length=len(whole)))[1].finish_reason == "stop"


def test_a_stop_string_may_cut_a_run(load: Load) -> None:
    loaded = load()
    whole, _ = by_masks(loaded, ask("dog"))
    text = loaded.text(whole)
    for start in range(len(text) - 1):
        stop = text[start : start + 2]
        pieces, answer = loaded.alone(ask("dog", stop=(stop,)))
        assert answer.text == text[: text.index(stop)] == "".join(pieces)
        count = next(n for n in range(len(whole) + 1) if stop in loaded.text(whole[:n]))
        assert (answer.completion_tokens, answer.finish_reason) == (count, "stop")


def test_a_run_comes_as_one_piece(load: Load) -> None:
    pieces, answer = load().alone(ask("dog"))
    assert [piece.strip("0123456789") for piece in pieces] == ['{"quick":', ',"fo":', "}"]
    assert answer.completion_tokens > 2 * len(pieces)


def test_an_answer_without_a_choice_takes_no_step(load: Load) -> None:
    loaded = load()
    only = {"const": {"quick": "brown fox"}}
    asked = [ask(text, only) for text in TEXTS]
    answers = loaded.together(asked)
    assert {answer.text for answer in answers} == {'{"quick":"brown fox"}'}
    assert {answer.finish_reason for answer in answers} == {"stop"}
    assert not loaded.shapes


def test_rows_that_jump_survive_when_memory_runs_out(load: Load) -> None:
    loaded = load(batch_size=4)
    asked = requests()
    expected = loaded.together(asked)
    widest = max(width for rows, width in loaded.shapes if rows > 1)
    loaded.limit = lambda rows, width: rows < 4 or len(loaded.shapes) < 4 or not width
    answers = loaded.together(asked)
    assert widest > 1
    assert [answer.text for answer in answers] == [answer.text for answer in expected]
    assert not any(answer.error for answer in answers)


def test_rows_after_a_window_of_failures_are_answered(load: Load) -> None:
    loaded = load()
    hard = ask("dog " * 100)
    answers = loaded.together([*[hard] * 9, ask("dog")])
    assert [answer.finish_reason for answer in answers] == ["error"] * 9 + ["stop"]


def test_a_row_that_is_cancelled_while_others_jump_leaves_alone(load: Load) -> None:
    loaded = load(batch_size=3)
    asked = requests()
    expected = loaded.together(asked)
    answers = {}
    for index, answer in loaded.backend.batch(asked):
        answers[index] = answer
        asked[2].cancel.set()
    assert answers[2].finish_reason == "cancelled"
    others = [index for index in answers if index != 2]
    assert [answers[i].text for i in others] == [expected[i].text for i in others]
