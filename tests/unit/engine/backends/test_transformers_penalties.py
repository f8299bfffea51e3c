from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch

from openautoglm.engine.autoglm import AutoGLM
from openautoglm.engine.backends.transformers.penalties import adjust
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.engine.backends.transformers.backend import TransformersBackend

LOGITS = torch.tensor([2.0, -1.0, 0.5, 0.0])


def adjusted(params: SamplingParams, answer: tuple[int, ...] = ()) -> list[float]:
    found = adjust(LOGITS.clone(), params, prompt=(1,), answer=answer, eos=frozenset({3}))
    return [round(value, 5) for value in found.tolist()]


def test_repetition_weighs_on_prompt_and_answer_alike() -> None:
    assert adjusted(SamplingParams(repetition_penalty=2), (0, 0)) == [1.0, -2.0, 0.5, 0.0]


def test_presence_and_frequency_weigh_on_the_answer_alone() -> None:
    params = SamplingParams(presence_penalty=1, frequency_penalty=0.25)
    assert adjusted(params) == LOGITS.tolist()
    assert adjusted(params, (0, 0, 2)) == [0.5, -1.0, -0.75, 0.0]


def test_a_bias_is_added() -> None:
    assert adjusted(SamplingParams(logit_bias={1: 5, 3: -1})) == [2.0, 4.0, 0.5, -1.0]


def test_the_end_is_forbidden_before_so_many_tokens() -> None:
    assert adjusted(SamplingParams(min_tokens=2), (0,))[3] == -math.inf
    assert adjusted(SamplingParams(min_tokens=2), (0, 0))[3] == 0.0


def test_a_bias_for_a_token_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="`logit_bias`"):
        adjusted(SamplingParams(logit_bias={4: 1}))


@pytest.mark.parametrize("penalty", [{"repetition_penalty": 1.4}, {"min_tokens": 12}], ids=str)
def test_a_greedy_answer_is_the_one_the_library_gives(
    tiny_model: Callable[..., Path], penalty: dict[str, float]
) -> None:
    theirs = {"min_new_tokens": 12} if "min_tokens" in penalty else penalty
    with AutoGLM(tiny_model("qwen2"), backend="transformers", max_length=16) as engine:
        held: Any = engine._open()
        backend = cast("TransformersBackend", getattr(held, "_backend", held))
        model: Any = backend._network._model
        tokenizer: Any = backend._reader._tokenizer
        answer = engine.run("hello", **penalty)  # type: ignore[arg-type]  # by name
        chat = tokenizer.apply_chat_template(
            [{"role": "user", "content": "hello"}], tokenize=False, add_generation_prompt=True
        )
        ids = torch.tensor([tokenizer(chat)["input_ids"]])
        found = model.generate(ids, max_new_tokens=16, do_sample=False, **theirs)[0]
        assert answer.text == tokenizer.decode(found[ids.shape[1] :], skip_special_tokens=True)


def test_every_parameter_the_backend_names_is_taken(tiny_model: Callable[..., Path]) -> None:
    with AutoGLM(tiny_model("qwen2"), backend="transformers", max_length=8) as engine:
        texts = {
            engine.run("hello", temperature=1.5, seed=2, min_p=0.2, presence_penalty=1, n=2).text
            for _ in range(2)
        }
        assert len(texts) == 1
        with pytest.raises(InvalidParameterError, match="logprobs"):
            engine.run("hello", logprobs=1)
        with pytest.raises(InvalidParameterError, match="logit_bias"):
            engine.run("hello", logit_bias={2**30: 1})


def test_a_stop_string_before_so_many_tokens_is_plain_text(
    tiny_model: Callable[..., Path],
) -> None:
    with AutoGLM(tiny_model("qwen2"), backend="transformers", max_length=8) as engine:
        text = engine.run("hello", min_tokens=8).text
        early = text[0]
        assert engine.run("hello", stop=early).text == ""
        assert engine.run("hello", stop=early, min_tokens=8).text.startswith(early)
