"""The vllm backend over a stand-in with vLLM's names and signatures: there is no GPU here."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.backend import BACKENDS, LoadSpec
from openautoglm.engine.backends.vllm import suitability
from openautoglm.engine.loading import decide
from openautoglm.errors import (
    AdapterError,
    BackendRequestError,
    BackendUnavailableError,
    InvalidParameterError,
    InvalidPromptError,
    MissingExtraError,
    ModelTooLargeError,
    OpenAutoGLMError,
)
from openautoglm.ops.gpus import Gpu
from openautoglm.testing import vllm_fake

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeFolder = Callable[..., Path]

PROMPTS = ["the quick", "请根据以下内容", "a", "emoji 👋🏽 and accents " * 2, "dog " * 9, "fox"]
SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["billing", "delivery"]},
        "name": {"type": "string", "x-extractive": True},
    },
    "required": ["label", "name"],
    "additionalProperties": False,
}
PLAIN = {"type": "object", "properties": {"urgent": {"type": "boolean"}}, "required": ["urgent"]}


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> list[vllm_fake.LLMEngine]:
    """Put the stand-in where vLLM would be; the engines that are made come in the list."""
    made: list[vllm_fake.LLMEngine] = []
    modules = vllm_fake.modules()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def note(arguments: vllm_fake.EngineArgs) -> vllm_fake.LLMEngine:
        made.append(vllm_fake.LLMEngine(arguments))
        return made[-1]

    monkeypatch.setattr(vllm_fake.LLMEngine, "from_engine_args", note)
    return made


def open_engine(folder: Path, **options: Any) -> AutoGLM:  # noqa: ANN401 - AutoGLM's own
    return AutoGLM(folder, backend="vllm", **({"slots": 4} | options))


def test_token_ids_go_straight_through_and_answers_are_those_of_the_decoder(
    tiny_model: MakeFolder,
) -> None:
    with (
        open_engine(tiny_model(), max_length=24) as ours,
        AutoGLM(tiny_model(), backend="native", max_length=24) as theirs,
    ):
        for one, other in zip(ours.batch(PROMPTS), theirs.batch(PROMPTS), strict=True):
            assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
            assert one.prompt_tokens == other.prompt_tokens
            assert one.completion_tokens == other.completion_tokens
        assert "".join(ours.stream("fox")) == theirs.run("fox").text
        assert ours.model_info.concurrency == 4
        assert ours.model_info.context_length == theirs.model_info.context_length


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0.8, "seed": 3, "top_k": 9, "top_p": 0.9},
        {"temperature": 1.2, "seed": 4, "min_p": 0.05, "logprobs": 2},
        {"repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.5},
        {"logit_bias": {70: 4.0}, "min_tokens": 20, "logprobs": 0},
        {"n": 3, "temperature": 1.0, "seed": 5},
        {"stop": ["z", "ck"]},
    ],
    ids=str,
)
def test_every_sampling_parameter_reaches_vllm(
    tiny_model: MakeFolder, params: dict[str, Any]
) -> None:
    with (
        open_engine(tiny_model(), max_length=20, **params) as ours,
        AutoGLM(tiny_model(), backend="native", max_length=20, **params) as theirs,
    ):
        for prompt in PROMPTS[:3]:
            one, other = ours.run(prompt), theirs.run(prompt)
            assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
            assert [x.text for x in one.others] == [x.text for x in other.others]
            assert one.logprobs == other.logprobs


@pytest.mark.parametrize("schema", [PLAIN, SCHEMA], ids=["json", "copies"])
def test_a_schema_reaches_vllm_as_the_grammar_it_is_here(
    tiny_model: MakeFolder, schema: dict[str, object]
) -> None:
    with (
        open_engine(tiny_model(), max_length=60) as ours,
        AutoGLM(tiny_model(), backend="native", max_length=60) as theirs,
    ):
        answers = ours.batch(PROMPTS, schema=schema)
        for one, other in zip(answers, theirs.batch(PROMPTS, schema=schema), strict=True):
            assert one.text == other.text
            assert one.parsed == other.parsed is not None


def test_a_cancelled_stream_and_a_stop_string_abort_the_request(
    tiny_model: MakeFolder, fake: list[vllm_fake.LLMEngine]
) -> None:
    with open_engine(tiny_model(), max_length=90) as engine:
        whole = engine.run("fox").text
        assert fake[0].aborted == []
        assert engine.run("fox", stop=whole[2:4]).text == whole[: whole.find(whole[2:4])]
        assert fake[0].aborted == ["1"]
        stream = engine.stream("fox")
        next(stream)
        stream.cancel()
        "".join(stream)
        assert stream.generation is not None
        assert stream.generation.finish_reason == "cancelled"
        assert fake[0].aborted == ["1", "2"]


def test_closing_gives_the_memory_back(
    tiny_model: MakeFolder, fake: list[vllm_fake.LLMEngine]
) -> None:
    ended: list[bool] = []
    engine = open_engine(tiny_model())
    fake[0].engine_core.shutdown = lambda: ended.append(True)  # type: ignore[method-assign] # a test breaks it
    engine.close()
    engine.close()
    assert ended == [True]
    fake[0].engine_core.model.close()


def test_what_vllm_refuses_fails_alone(
    tiny_model: MakeFolder, fake: list[vllm_fake.LLMEngine]
) -> None:
    with open_engine(tiny_model(), max_length=4) as engine:
        take = fake[0].add_request

        def picky(request_id: str, *rest: Any, **more: Any) -> None:  # noqa: ANN401 - vLLM's own
            if request_id == "1":
                raise ValueError("not this one")
            take(request_id, *rest, **more)

        fake[0].add_request = picky  # type: ignore[method-assign, assignment] # a test breaks it
        first, middle, last = engine.batch(["a", "b", "c"], on_error="keep")
        assert isinstance(middle.error, BackendRequestError)
        assert "not this one" in str(middle.error)
        assert first.error is last.error is None


def save_adapter(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
    return folder


def test_the_adapter_of_a_row_goes_to_vllm_with_it(
    tiny_model: MakeFolder, fake: list[vllm_fake.LLMEngine], tmp_path: Path
) -> None:
    folder = save_adapter(tmp_path / "a", '{"peft_type": "LORA", "r": 8}')
    with open_engine(tiny_model(), max_length=2, adapter_rank=16) as engine:
        engine.load_adapter("support", folder)
        engine.run("a", adapter="support")
        engine.run("a")
        given, none = fake[0].adapters
        assert none is None
        assert given is not None
        assert (given.lora_name, given.lora_path) == ("support", str(folder))
        assert given.lora_int_id > 0
        engine.unload_adapter("support")


@pytest.mark.parametrize(
    ("text", "options", "error", "words"),
    [
        ('{"r": 8}', {}, InvalidParameterError, "adapter_rank=8"),
        ('{"r": 17}', {"adapter_rank": 16}, InvalidParameterError, "adapter_rank=32"),
        ('{"r": 0}', {"adapter_rank": 16}, AdapterError, "LoRA adapters alone"),
        ("[", {"adapter_rank": 16}, AdapterError, "PEFT saved"),
    ],
)
def test_an_adapter_that_vllm_would_not_take_is_refused(
    tiny_model: MakeFolder,
    tmp_path: Path,
    text: str,
    options: dict[str, Any],
    error: type[OpenAutoGLMError],
    words: str,
) -> None:
    folder = save_adapter(tmp_path / "a", text)
    with open_engine(tiny_model(), **options) as engine, pytest.raises(error) as caught:
        engine.load_adapter("support", folder)
    assert words in str(caught.value.fix)


def test_a_step_that_fails_ends_what_is_under_way_and_the_engine_goes_on(
    tiny_model: MakeFolder, fake: list[vllm_fake.LLMEngine]
) -> None:
    with open_engine(tiny_model(), max_length=4) as engine:
        expected = engine.run("a").text
        step = fake[0].step

        def fail() -> list[vllm_fake.RequestOutput]:
            fake[0].step = step  # type: ignore[method-assign] # a test breaks it
            raise RuntimeError("the GPU fell off")

        fake[0].step = fail  # type: ignore[method-assign] # a test breaks it
        with pytest.raises(BackendRequestError, match="the GPU fell off"):
            engine.run("a")
        assert fake[0].aborted == []
        assert engine.run("a").text == expected
        assert fake[0].aborted == ["1"]


def test_a_prompt_longer_than_the_context_is_refused_or_shortened(tiny_model: MakeFolder) -> None:
    with open_engine(tiny_model(), context=64) as engine, pytest.raises(InvalidPromptError):
        engine.run("dog " * 99)
    with open_engine(tiny_model(), context=64, truncate=True, max_length=4) as engine:
        assert engine.run("dog " * 99).left_out > 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"slots": 0}, InvalidParameterError),
        ({"context": "long"}, InvalidParameterError),
        ({"memory_share": 1.5}, InvalidParameterError),
        ({"adapter_rank": 7}, InvalidParameterError),
        ({"dtype": "int8"}, InvalidParameterError),
        ({"device": "cpu"}, BackendUnavailableError),
        ({"device": "cuda:1"}, BackendUnavailableError),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(
    tiny_model: MakeFolder, options: dict[str, Any], error: type[OpenAutoGLMError]
) -> None:
    with pytest.raises(error) as caught:
        open_engine(tiny_model(), **options)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("CUDA out of memory. Tried to allocate", ModelTooLargeError),
        ("No available memory for the cache blocks", ModelTooLargeError),
        ("architecture not supported", BackendUnavailableError),
    ],
)
def test_what_vllm_cannot_load_is_told_with_a_fix(
    tiny_model: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    error: type[OpenAutoGLMError],
) -> None:
    def fail(arguments: vllm_fake.EngineArgs) -> vllm_fake.LLMEngine:
        raise RuntimeError(f"{said}: {arguments.model}")

    monkeypatch.setattr(vllm_fake.LLMEngine, "from_engine_args", fail)
    with pytest.raises(error, match=said[:10]) as caught:
        open_engine(tiny_model())
    assert caught.value.fix


def test_without_vllm_the_extra_is_named(
    tiny_model: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "vllm")
    with pytest.raises(MissingExtraError) as caught:
        open_engine(tiny_model())
    assert "openautoglm[vllm]" in str(caught.value.fix)


def test_auto_chooses_it_for_a_folder_on_a_machine_with_a_gpu(
    tiny_model: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openautoglm.engine.backends.native import suitability as native

    folder = os.fspath(tiny_model())
    assert decide(folder, "auto", LoadSpec(device="cpu")).backend == "native"
    gpus = [Gpu(capability=(9, 0), uuid="GPU-a", memory_bytes=2**33)]
    monkeypatch.setattr(suitability, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(native, "compute_capabilities", lambda: ((9, 0),))
    choice = decide(folder, "auto", LoadSpec())
    assert choice.backend == "vllm"
    assert choice.reason == "it is a folder on this machine, which has a GPU and vllm"
    assert dict(choice.refused)["native"] == "it computes on the CPU"

    def not_vllm(**options: object) -> str:
        choice = decide(folder, "auto", LoadSpec(options=options))
        assert choice.backend == "transformers"
        return dict(choice.refused)["vllm"]

    assert not_vllm(batch_size=2) == "it has no option `batch_size`"
    gpus[:] = [Gpu(capability=(9, 0), uuid="GPU-a", memory_bytes=2**18)]
    assert not_vllm() == "its weights take 0.0 GiB and the GPU has 0.0 GiB"
    gpus[:] = [Gpu(capability=(6, 1), uuid="GPU-a", memory_bytes=2**33)]
    assert "older" in not_vllm()
    gpus[:] = [Gpu(capability=(9, 0), uuid="GPU-a")]
    monkeypatch.delitem(sys.modules, "vllm")
    assert not_vllm() == "vllm is not installed"


def test_the_entry_says_what_it_takes() -> None:
    entry = BACKENDS.get("vllm")
    assert entry.extra == "vllm"
    assert "memory_share" in entry.options
