from __future__ import annotations

import gc
import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast, final

import pytest

from openautoglm import AutoGLM, SamplingParams
from openautoglm.engine.backend import Request
from openautoglm.engine.memory import check_fits
from openautoglm.errors import (
    BackendUnavailableError,
    EngineClosedError,
    InvalidParameterError,
    InvalidPromptError,
    ModelFolderError,
    ModelNotFoundError,
    ModelTooLargeError,
    SchemaError,
    UnknownArchitectureError,
    UnsafeWeightsError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from openautoglm.engine.backends.transformers.backend import TransformersBackend
    from openautoglm.engine.structured import Grammar

PROMPTS = ["the quick", "请根据以下内容", "a", "emoji 👋🏽 and accents " * 2, "dog " * 9, "fox"]


@pytest.fixture
def folder(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model(), tmp_path / "model"))


@pytest.fixture
def engine(tiny_model: Callable[..., Path]) -> Iterator[AutoGLM]:
    with AutoGLM(tiny_model(), backend="transformers", max_length=16) as engine:
        yield engine


def change(file: Path, **changes: object) -> None:
    value = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    kept = {key: item for key, item in (value | changes).items() if item is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


def backend_of(engine: AutoGLM) -> TransformersBackend:
    held: object = engine._open()
    return cast("TransformersBackend", getattr(held, "_backend", held))


def module_of(engine: AutoGLM) -> torch.nn.Module:
    backend = backend_of(engine)
    model = backend._network._model
    assert model is not None
    return model


def tokenizer_of(engine: AutoGLM) -> PreTrainedTokenizerFast:
    tokenizer = backend_of(engine)._reader._tokenizer
    assert tokenizer is not None
    return cast("PreTrainedTokenizerFast", tokenizer)


def tokens_of(engine: AutoGLM, rendered: str) -> int:
    return len(tokenizer_of(engine)(rendered)["input_ids"])


def change_weight(folder: Path, index: int | slice, value: float) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"][index] = value
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize("family", ["qwen2", "llama", "glm"])
@pytest.mark.parametrize("weights", ["safetensors", "shards", "bin", "legacy_bin"])
def test_every_layout_gives_the_tokens_the_library_gives(
    tiny_model: Callable[..., Path], family: str, weights: str
) -> None:
    import torch

    with AutoGLM(
        tiny_model(family, weights), backend="transformers", max_length=16, batch_size=3
    ) as engine:
        model = module_of(engine)
        tokenizer = tokenizer_of(engine)
        answers = list(engine.batch(PROMPTS))
        assert [g.text for g in answers] == [engine.run(p).text for p in PROMPTS]
        for prompt, answer in zip(PROMPTS, answers, strict=True):
            chat = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
            ids = torch.tensor([tokenizer(chat)["input_ids"]])
            expected = model.generate(ids, max_new_tokens=16, do_sample=False)[0][ids.shape[1] :]
            assert answer.prompt_tokens == ids.shape[1]
            assert answer.text == tokenizer.decode(expected, skip_special_tokens=True)


def test_two_engines_live_side_by_side_and_closing_gives_the_weights_back(
    tiny_model: Callable[..., Path],
) -> None:
    first = AutoGLM(tiny_model("qwen2"), backend="transformers", max_length=8)
    second = AutoGLM(tiny_model("llama"), backend="transformers", max_length=8)
    before = second.run("dog").text
    module = weakref.ref(module_of(first))
    half_read = first.stream("dog")
    next(half_read)
    first.close()
    gc.collect()
    assert module() is None
    assert second.run("dog").text == before
    second.close()


def test_a_step_after_close_says_that_the_engine_is_closed(engine: AutoGLM) -> None:
    backend = backend_of(engine)
    backend.close()
    with pytest.raises(EngineClosedError):
        engine.run("dog")
    with pytest.raises(EngineClosedError):
        engine.count_tokens("dog")


def test_sampling_follows_its_seed_and_only_its_seed(engine: AutoGLM) -> None:
    alone = engine.run("dog", temperature=1.5, seed=3).text
    together = list(engine.batch([*PROMPTS, "dog"], temperature=1.5, seed=3))
    assert together[-1].text == alone
    others = {engine.run("dog", temperature=1.5, seed=seed).text for seed in range(5)}
    assert len(others) > 1
    fresh = {engine.run("dog", temperature=1.5).text for _ in range(5)}
    assert len(fresh) > 1


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-30}], ids=str)
def test_sampling_from_one_token_is_greedy(engine: AutoGLM, narrow: dict[str, float]) -> None:
    sampled = engine.run("dog", seed=1, **({"temperature": 2.0} | narrow))  # type: ignore[arg-type] # a table of names
    assert sampled.text == engine.run("dog").text


def test_every_end_of_text_token_of_generation_config_ends_the_text(folder: Path) -> None:
    import torch

    with AutoGLM(folder, backend="transformers", max_length=16) as engine:
        whole = engine.run("dog")
        ids = torch.tensor([backend_of(engine)._reader.read("dog")])
        tokens = module_of(engine).generate(ids, max_new_tokens=16, do_sample=False)
        new = tokens[0][ids.shape[1] :].tolist()
    change(folder / "generation_config.json", eos_token_id=[2, new[5]])
    with AutoGLM(folder, backend="transformers", max_length=16) as engine:
        ended = engine.run("dog")
    assert ended.finish_reason == "stop"
    assert ended.completion_tokens == new.index(new[5])
    assert whole.text.startswith(ended.text.rstrip("\ufffd"))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_generation_config_is_refused(folder: Path, text: str) -> None:
    (folder / "generation_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelFolderError):
        AutoGLM(folder, backend="transformers")


def test_a_prompt_that_leaves_no_room_is_refused_with_the_numbers(engine: AutoGLM) -> None:
    with pytest.raises(InvalidPromptError, match=r"\d{3} tokens, the context is 128"):
        engine.run("dog " * 200)


def test_the_context_bounds_the_answer(engine: AutoGLM) -> None:
    generation = engine.run("d " * 50, max_length=10_000)
    assert generation.finish_reason in {"length", "stop"}
    assert generation.prompt_tokens + generation.completion_tokens <= 128


def test_a_chat_goes_through_the_models_template(engine: AutoGLM) -> None:
    chat = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "dog"}]
    text = "<|start|>system\nbe kind<|end|>\n<|start|>user\ndog<|end|>\n<|start|>assistant\n"
    assert engine.run(chat).prompt_tokens == tokens_of(engine, text)
    assert engine.run("dog").text == engine.run([{"role": "user", "content": "dog"}]).text


def test_a_chat_that_ends_with_the_assistant_is_continued(engine: AutoGLM) -> None:
    chat = [{"role": "user", "content": "dog"}, {"role": "assistant", "content": "the fox"}]
    text = "<|start|>user\ndog<|end|>\n<|start|>assistant\nthe fox"
    assert engine.run(chat).prompt_tokens == tokens_of(engine, text)


def test_without_a_template_only_one_side_may_speak(tiny_model: Callable[..., Path]) -> None:
    system, user = {"role": "system", "content": "be"}, {"role": "user", "content": "dog"}
    with AutoGLM(tiny_model(chat=False), backend="transformers", max_length=4) as engine:
        assert engine.run("dog").prompt_tokens == engine.count_tokens("dog")
        assert engine.run([system, user]).text == engine.run("be\n\ndog").text
        with pytest.raises(InvalidPromptError, match="no chat template"):
            engine.run([user, {"role": "assistant", "content": "yes"}, user])


def test_a_template_that_refuses_is_the_prompts_error(folder: Path) -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    with (
        AutoGLM(folder, backend="transformers") as engine,
        pytest.raises(InvalidPromptError, match="roles must alternate"),
    ):
        engine.run("dog")


def test_numbers_that_are_not_finite_are_found_when_loading(folder: Path) -> None:
    change_weight(folder, 3, float("nan"))
    with pytest.raises(WeightsCorruptError, match=r"model.norm.weight: 1 of 64"):
        AutoGLM(folder, backend="transformers")


def test_a_model_that_computes_nan_is_found_when_running(folder: Path) -> None:
    change_weight(folder, slice(None), 3e38)
    with (
        AutoGLM(folder, backend="transformers") as engine,
        pytest.raises(WeightsCorruptError, match="NaN"),
    ):
        engine.run("dog")


def test_an_architecture_that_generates_no_text_is_refused(folder: Path) -> None:
    change(folder / "config.json", model_type="clip")
    with pytest.raises(UnknownArchitectureError, match="`clip`"):
        AutoGLM(folder, backend="transformers")


def test_an_encoder_with_a_decoder_is_refused(folder: Path) -> None:
    change(folder / "config.json", is_encoder_decoder=True)
    with pytest.raises(UnknownArchitectureError, match="only decoders are run"):
        AutoGLM(folder, backend="transformers")


def test_a_folder_without_a_tokenizer_or_with_a_damaged_one_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="tokenizer in the model folder cannot be read"):
        AutoGLM(folder, backend="transformers")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelFolderError, match="no tokenizer in the model folder"):
        AutoGLM(folder, backend="transformers")


def test_a_tokenizer_json_that_says_it_stands_alone_is_read_as_written(folder: Path) -> None:
    path = folder / "tokenizer.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    letters = {"type": "Split", "pattern": {"Regex": r"\p{L}"}, "behavior": "Isolated"}
    steps = [{**letters, "invert": False}, state["pre_tokenizer"]]
    state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    path.write_text(json.dumps(state), encoding="utf-8")
    with AutoGLM(folder, backend="transformers") as engine:
        assert engine.count_tokens("quick") == len("quick")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(folder: Path) -> None:
    value = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    extra = dict(value["added_tokens"][0], id=400, content="<|far|>")
    value["added_tokens"].append(extra)
    value["model"]["vocab"]["<|far|>"] = 400
    (folder / "tokenizer.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="token 400, 328 embeddings"):
        AutoGLM(folder, backend="transformers")


def test_a_bin_with_code_never_reaches_torch(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model(weights="bin"), tmp_path / "model"))
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.")
    with pytest.raises(UnsafeWeightsError, match=r"posix\.system"):
        AutoGLM(folder, backend="transformers")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"device": "gpu"}, InvalidParameterError),
        ({"device": "meta"}, InvalidParameterError),
        ({"device": "cuda:99"}, BackendUnavailableError),
        ({"dtype": "int3"}, InvalidParameterError),
        ({"batch_size": 0}, InvalidParameterError),
        ({"batch_size": True}, InvalidParameterError),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused(
    tiny_model: Callable[..., Path], options: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        AutoGLM(tiny_model(), backend="transformers", **options)  # type: ignore[arg-type] # a table of names


def test_half_precision_runs_and_says_so(tiny_model: Callable[..., Path]) -> None:
    options = {"dtype": "bfloat16", "max_length": 4, "kernels": "off"}
    with AutoGLM(tiny_model(), backend="transformers", **options) as engine:  # type: ignore[arg-type] # a table of names
        assert engine.model_info.dtype == "bfloat16"
        assert engine.model_info.weights_bytes == 2 * 104_000
        assert engine.run("dog").completion_tokens <= 4


def test_weights_that_do_not_fit_are_refused_with_both_numbers() -> None:
    check_fits(10, 10, what="x", fix="y")
    with pytest.raises(ModelTooLargeError, match=r"3\.00 GiB needed, 2\.00 GiB free"):
        check_fits(3 * 2**30, 2 * 2**30, what="the model", fix="use a smaller one")


def test_a_model_larger_than_the_memory_is_refused_before_it_is_read(folder: Path) -> None:
    count = 2**38  # numbers of four bytes: one tebibyte, of which the file system stores nothing
    entry = {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}
    header = json.dumps({"lm_head.weight": entry}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4 * count)
    with pytest.raises(ModelTooLargeError, match=r"1024\.00 GiB needed") as caught:
        AutoGLM(folder, backend="transformers")
    assert caught.value.fix


def test_a_name_that_cannot_be_fetched_says_so() -> None:
    with pytest.raises(ModelNotFoundError, match="`nobody/nothing` is no folder here and not"):
        AutoGLM("nobody/nothing", offline=True)


def test_a_fixed_seed_leaves_torchs_own_state_alone(engine: AutoGLM) -> None:
    import torch

    before = torch.get_rng_state()
    engine.run("dog", temperature=1.0, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.is_inference_mode_enabled()


@final
class GivesUp:
    """A grammar that fails at its third token."""

    def constraint(self, *_view: object) -> Self:
        return self

    def __init__(self, width: int) -> None:
        self._width = width
        self._accepted = 0

    def mask(self) -> NDArray[np.bool_]:
        import numpy as np

        if self._accepted == 2:
            raise SchemaError("too hard")
        return np.ones(self._width, dtype=np.bool_)

    def accept(self, _token: int) -> None:
        self._accepted += 1

    def forced(self) -> list[int]:
        return []

    is_done = False


def test_a_grammar_that_gives_up_fails_its_own_row_alone(engine: AutoGLM) -> None:
    backend = backend_of(engine)
    params = SamplingParams(max_length=6)
    hard = Request(prompt="dog", params=params, grammar=cast("Grammar", GivesUp(328)))
    easy = Request(prompt="dog", params=params)
    answers = dict(backend.batch([easy, hard, easy]))
    assert [answers[i].finish_reason for i in range(3)] == ["length", "error", "length"]
    assert isinstance(answers[1].error, SchemaError)
    assert answers[0].text == answers[2].text == engine.run("dog", max_length=6).text
    with pytest.raises(SchemaError):
        list(backend.stream(replace(hard, grammar=cast("Grammar", GivesUp(328)))))
