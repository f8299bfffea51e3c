"""Adapters that come and go beside a model, and those that are refused."""

from __future__ import annotations

import json
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from openautoglm.engine.adapter import Adapter
from openautoglm.engine.backends.native.adapters.weights import modules
from openautoglm.engine.backends.native.held_adapters import HeldAdapters
from openautoglm.engine.backends.native.model.model import Model
from openautoglm.errors import (
    AdapterError,
    InvalidParameterError,
    ModelTooLargeError,
    OpenAutoGLMError,
    UnsafeWeightsError,
    WeightsCorruptError,
)
from openautoglm.testing.lora_adapter import save_adapter, save_weights
from openautoglm.testing.toy_decoder import ToyModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.engine.backends.native.adapters.loaded import Resident

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    TinyModel = Callable[..., Path]

TOKENS = np.arange(5, 17)
BIG = 0.3


def read(model: Model, adapter: Resident | None = None) -> Floats:
    rows = np.arange(len(TOKENS))
    numbers = None if adapter is None else np.full(len(TOKENS), adapter.number)
    return model.forward(TOKENS, 0 * rows, rows, rows[-1:], numbers).copy()


def alone(base: Path, folder: Path) -> Floats:
    model = Model(base, slots=1, rows=32)
    return read(model, model.load_adapter(1, folder))


@pytest.fixture
def base(tiny_model: TinyModel) -> Path:
    return tiny_model("qwen2")


@pytest.fixture
def model(base: Path) -> Model:
    return Model(base, slots=2, rows=32)


def test_a_model_without_adapters_computes_nothing_for_them(
    model: Model, base: Path, tmp_path: Path
) -> None:
    plain = read(model)
    assert "lora" not in {one.operator for one in model.kernels()}
    kept = model.load_adapter(
        1, save_adapter(base, tmp_path, config={"target_modules": ["v_proj"]})
    )
    changed = [one for one in model.kernels() if one.operator == "lora"]
    assert [one.layer for one in changed] == list(range(model.architecture.layers))
    assert not np.array_equal(read(model, kept), plain)
    del kept
    model.tidy_adapters()
    assert "lora" not in {one.operator for one in model.kernels()}
    assert np.array_equal(read(model), plain)


def test_an_index_that_is_used_again_has_nothing_of_who_had_it(
    model: Model, base: Path, tmp_path: Path
) -> None:
    targets = ["q_proj", "down_proj"], ["up_proj"], ["q_proj"], ["up_proj", "q_proj"]
    folders = [
        save_adapter(
            base, tmp_path / f"{n}", seed=n, size=BIG, config={"target_modules": names, "r": r}
        )
        for n, (names, r) in enumerate(zip(targets, (9, 2, 3, 17), strict=True))
    ]
    kept = [model.load_adapter(n, folder) for n, folder in enumerate(folders[:2], 1)]
    first = kept.pop(0)
    assert np.array_equal(read(model, first), alone(base, folders[0]))
    index = first.index
    del first
    second = model.load_adapter(3, folders[2])
    assert second.index == index
    third = model.load_adapter(4, folders[3])
    for adapter, folder in zip((kept[0], second, third), folders[1:], strict=True):
        assert np.array_equal(read(model, adapter), alone(base, folder))


def test_the_memory_of_the_last_adapter_is_free_with_the_next_step(
    model: Model, base: Path, tmp_path: Path
) -> None:
    kept = model.load_adapter(1, save_adapter(base, tmp_path))
    held = weakref.ref(next(iter(model._bank._stacks.values())).a)
    read(model, kept)
    read(model)
    assert held() is not None
    del kept
    read(model)
    assert held() is None


def test_of_too_many_adapters_the_one_longest_unused_goes_and_comes_back(
    model: Model, base: Path, tmp_path: Path
) -> None:
    shelf = HeldAdapters(model, most=2)
    adapters = [
        Adapter(name=f"{n}", path=str(save_adapter(base, tmp_path / f"{n}", seed=n)), number=n)
        for n in (1, 2, 3)
    ]
    wanted = [read(model, shelf.get(adapters[0])), read(model, shelf.get(adapters[1]))]
    shelf.get(adapters[0])
    shelf.get(adapters[2])
    there = [model._bank.find(adapter.number) is not None for adapter in adapters]
    assert there == [True, False, True]
    assert np.array_equal(read(model, shelf.get(adapters[1])), wanted[1])
    assert np.array_equal(read(model, shelf.get(adapters[0])), wanted[0])
    for adapter in adapters:
        shelf.drop(adapter)
    assert "lora" not in {one.operator for one in model.kernels()}


def test_a_model_of_another_kind_refuses_adapters(tmp_path: Path) -> None:
    shelf = HeldAdapters(ToyModel(slots=1, context=8))
    with pytest.raises(InvalidParameterError, match="takes no adapters"):
        shelf.get(Adapter(name="x", path=str(tmp_path), number=1))


def test_an_adapter_that_is_there_is_not_read_again(
    model: Model, base: Path, tmp_path: Path
) -> None:
    kept = model.load_adapter(1, save_adapter(base, tmp_path))
    assert model.load_adapter(1, tmp_path / "nowhere") is kept


def test_adapters_come_and_go_while_another_thread_computes(
    model: Model, base: Path, tmp_path: Path
) -> None:
    ours = model.load_adapter(1, save_adapter(base, tmp_path / "ours", size=BIG))
    wanted, done = read(model, ours), threading.Event()
    found: list[Floats] = []

    def compute() -> None:
        while not done.is_set() or not found:
            found.append(read(model, ours))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for number in range(2, 14):
            config = {"r": number, "target_modules": "all-linear" if number % 3 else ["o_proj"]}
            folder = save_adapter(base, tmp_path / f"{number}", seed=number, config=config)
            kept = [model.load_adapter(number, folder)]
            kept += [model.load_adapter(100 + number, folder)] * (number % 2)
    finally:
        done.set()
        thread.join()
    assert kept
    assert all(np.array_equal(one, wanted) for one in found)


def change(folder: Path, **values: object) -> None:
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(config), encoding="utf-8")


def reshape(folder: Path, change_one: Callable[[dict[str, Floats]], None]) -> None:
    from safetensors.numpy import load_file

    weights = load_file(folder / "adapter_model.safetensors")
    change_one(weights)
    save_weights(weights, folder / "adapter_model.safetensors")


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"peft_type": "IA3"}, ["kind LORA", "'IA3'", "merge_and_unload"]),
        ({"use_dora": True}, ["DoRA", "use_dora=True", "merge_and_unload"]),
        ({"modules_to_save": ["lm_head"]}, ["saved whole", "lm_head", "merge_and_unload"]),
        ({"bias": "all"}, ["trained biases", "bias='all'"]),
        ({"lora_bias": True}, ["biases of its own"]),
        ({"fan_in_fan_out": True}, ["transposed"]),
        ({"init_lora_weights": "pissa_niter_4"}, ["changed before training", "pissa"]),
        ({"target_parameters": ["mlp.experts"]}, ["no modules"]),
        ({"target_modules": ["q_proj", "c_attn"]}, ["does not have", "c_attn", "q_proj, up_proj"]),
        ({"target_modules": "h.*c_attn"}, ["does not have", "h.*c_attn"]),
        ({"target_modules": None}, ["does not have", "None"]),
        ({"target_modules": ["embed_tokens"]}, ["does not have", "embed_tokens"]),
        ({"target_modules": "q_proj("}, ["no regular expression", "q_proj("]),
        ({"rank_pattern": {"q_proj": 0}}, ["cannot be", "q_proj=0"]),
        ({"lora_alpha": "x"}, ["not one of peft's", "lora_alpha"]),
        ({"r": 4}, ["does not fit", "lora_A of model.layers.0.self_attn.q_proj", "not [4, "]),
        ({"target_modules": ["q_proj"]}, ["does not name", "k_proj"]),
        ({"target_modules": "all-linear"}, ["lacks weights", "mlp."]),
        ({"layers_to_transform": 1}, ["does not name", "layers.0."]),
        ({"auto_mapping": {"base_model_class": "LlamaForCausalLM"}}, ["another base", "Llama"]),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_a_config_that_cannot_be_served_is_refused_with_what_it_says(
    values: dict[str, object], words: list[str], model: Model, base: Path, tmp_path: Path
) -> None:
    change(save_adapter(base, tmp_path), **values)
    with pytest.raises(AdapterError) as caught:
        model.load_adapter(1, tmp_path)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.fix


def poison(weights: dict[str, Floats]) -> None:
    weights[f"{FIRST}B.weight"][3, 1] = np.nan


def widen(weights: dict[str, Floats]) -> None:
    weights[f"{FIRST}A.weight"] = np.zeros((8, 12), np.float32)


def narrow(weights: dict[str, Floats]) -> None:
    weights[f"{FIRST}B.weight"] = np.zeros((8, 8), np.float32)


def orphan(weights: dict[str, Floats]) -> None:
    del weights[f"{FIRST}B.weight"]


def deepen(weights: dict[str, Floats]) -> None:
    for side in "AB":
        weights[FIRST.replace(".0.", ".77.") + side + ".weight"] = weights[f"{FIRST}{side}.weight"]


def magnify(weights: dict[str, Floats]) -> None:
    weights[f"{FIRST}magnitude_vector"] = np.ones(8, np.float32)


def embed(weights: dict[str, Floats]) -> None:
    weights["base_model.model.lm_head.weight"] = np.ones((8, 8), np.float32)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (poison, WeightsCorruptError, ["not finite", "lora_B of model.layers.0.self_attn.q_proj"]),
        (widen, AdapterError, ["does not fit", "is [8, 12], not [8, "]),
        (narrow, AdapterError, ["does not fit", "is [8, 8], not ["]),
        (orphan, AdapterError, ["lacks weights", "model.layers.0.self_attn.q_proj"]),
        (deepen, AdapterError, ["does not have", "layers.77.", "base it was trained on"]),
        (magnify, AdapterError, ["none of LoRA's two", "magnitude_vector"]),
        (embed, AdapterError, ["none of LoRA's two", "lm_head.weight", "merge_and_unload"]),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    spoil: Callable[[dict[str, Floats]], None],
    error: type[OpenAutoGLMError],
    words: list[str],
    model: Model,
    base: Path,
    tmp_path: Path,
) -> None:
    reshape(save_adapter(base, tmp_path), spoil)
    with pytest.raises(error) as caught:
        model.load_adapter(1, tmp_path)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_adapter_for_another_base_is_refused_and_the_model_goes_on(
    model: Model, tiny_model: TinyModel, tmp_path: Path
) -> None:
    plain = read(model)
    save_adapter(tiny_model("llama"), tmp_path)
    with pytest.raises(AdapterError, match="trained on another base") as caught:
        model.load_adapter(1, tmp_path)
    assert "model_type" in str(caught.value)
    assert np.array_equal(read(model), plain)


def test_two_names_of_the_hub_must_be_those_of_one_model(base: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(base, tmp_path / "base")
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps(config | {"_name_or_path": "acme/tiny-one"}))
    model = Model(copy, slots=1, rows=32)
    adapter = save_adapter(base, tmp_path / "a")
    for name in ("acme/tiny-one", "else/Tiny-One", "/a/folder/that/is/not/here", "tiny", None):
        change(adapter, base_model_name_or_path=name)
        assert model.load_adapter(1, adapter).number == 1
    change(adapter, base_model_name_or_path="acme/tiny-two")
    with pytest.raises(AdapterError, match="acme/tiny-two"):
        model.load_adapter(1, adapter)


def test_folders_that_are_not_whole_are_refused(model: Model, base: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no adapter_config"):
        model.load_adapter(1, tmp_path / "nowhere")
    folder = save_adapter(base, tmp_path / "a")
    (folder / "adapter_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(WeightsCorruptError):
        model.load_adapter(1, folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(AdapterError, match="no weights"):
        model.load_adapter(1, folder)
    (folder / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(AdapterError, match="not one of peft's"):
        model.load_adapter(1, folder)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_bin_files_and_short_floats_are_read_as_they_are(
    dtype: str, base: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = save_adapter(base, tmp_path / "a", size=BIG)
    safe = folder / "adapter_model.safetensors"
    kind = getattr(torch, dtype)
    tensors = {name: one.to(kind) for name, one in load_file(safe).items()}
    save_file({name: one.float() for name, one in tensors.items()}, safe)
    wanted = alone(base, folder)
    save_file(tensors, safe)
    assert np.array_equal(alone(base, folder), wanted)
    safe.unlink()
    torch.save(tensors, folder / "adapter_model.bin")
    assert np.array_equal(alone(base, folder), wanted)


def test_a_bin_file_that_carries_code_is_not_run(model: Model, base: Path, tmp_path: Path) -> None:
    import pickle

    folder = save_adapter(base, tmp_path)
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(print))
    with pytest.raises(UnsafeWeightsError):
        model.load_adapter(1, folder)


def test_an_adapter_too_large_for_memory_is_refused_and_the_others_stay(
    model: Model, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openautoglm.engine.backends.native.adapters import loaded as adapters

    kept = model.load_adapter(1, save_adapter(base, tmp_path / "a", size=BIG))
    wanted = read(model, kept)
    monkeypatch.setattr(adapters, "free_bytes", lambda: 1000)
    with pytest.raises(ModelTooLargeError, match="beside 1"):
        model.load_adapter(2, save_adapter(base, tmp_path / "b", config={"r": 64}))
    monkeypatch.undo()
    assert np.array_equal(read(model, kept), wanted)
    assert model.load_adapter(2, tmp_path / "b").index == 1


def test_every_matrix_of_a_layer_is_a_module_and_the_head_is_one(model: Model) -> None:
    names = {name.rpartition(".")[2] for name in modules(model.architecture)}
    layer = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert names == layer | {"lm_head"}
