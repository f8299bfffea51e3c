"""Adapters beside a model's weights against transformers with the adapters merged in."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from openautoglm.engine.backends.native.model.model import Model
from openautoglm.testing.lora_adapter import save_adapter

from .decoders import CASES, VOCABULARY, Case, Peer, save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.engine.backends.native.weights.convert import Mode

    Numbers = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float32]]
    FolderOf = Callable[[Case], Path]

FAMILIES = [case for case in CASES if "-" not in case.name]
EACH = pytest.mark.parametrize("case", FAMILIES, ids=[case.name for case in FAMILIES])
LLAMA = CASES[0]
EVERYTHING: dict[str, object] = {
    "target_modules": [
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj", "lm_head"),
    ]
}
FUSED: dict[str, object] = {"target_modules": "all-linear"}
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> FolderOf:
    root = tmp_path_factory.mktemp("decoders")

    def make(case: Case) -> Path:
        folder = root / case.name
        return folder if folder.is_dir() else save(case, folder)

    return make


def merged(base: Path, adapter: Path, folder: Path) -> Peer:
    """Return transformers' model whose weights are W + scale * B A."""
    import torch
    import transformers
    from safetensors.torch import load_file

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    weights = load_file(adapter / "adapter_model.safetensors")
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for name in {key.rsplit(".lora_", 1)[0] for key in weights}:
        a, b = weights[f"{name}.lora_A.weight"].float(), weights[f"{name}.lora_B.weight"].float()
        alphas = config.get("alpha_pattern", {}).items()
        alpha = next((v for end, v in alphas if name.endswith(end)), config["lora_alpha"])
        scale = alpha / (math.sqrt(len(a)) if config.get("use_rslora") else len(a))
        with torch.no_grad():
            model.get_submodule(name.removeprefix("base_model.model.")).weight += scale * (b @ a)
    model.save_pretrained(folder)
    return Peer(folder)


def prompt(length: int, seed: int = 0) -> Numbers:
    return np.random.default_rng(seed).integers(3, VOCABULARY, length)


def read(model: Model, tokens: Numbers, *, slot: int = 0, at: int = 0, adapter: int = 0) -> Floats:
    rows = np.arange(len(tokens))
    numbers = None if adapter == 0 else np.full(len(tokens), adapter)
    return model.forward(tokens, np.full(len(tokens), slot), at + rows, rows, numbers).copy()


def greedy(model: Model, tokens: Numbers, count: int, adapter: int) -> list[int]:
    made = [int(read(model, tokens, adapter=adapter)[-1].argmax())]
    while len(made) < count:
        place = len(tokens) + len(made) - 1
        last = np.array(made[-1:])
        made.append(int(read(model, last, at=place, adapter=adapter)[0].argmax()))
    return made


def check_merged(
    case: Case, folder_of: FolderOf, tmp_path: Path, config: dict[str, object]
) -> None:
    base = folder_of(case)
    model = Model(base, slots=2, rows=64)
    plain = read(model, prompt(50))
    adapter = save_adapter(base, tmp_path / "adapter", size=0.1, config=config)
    kept = model.load_adapter(3, adapter)
    peer = merged(base, adapter, tmp_path / "merged")
    theirs = peer.logits(prompt(50))
    assert np.abs(plain - theirs).max() > 0.1
    assert np.abs(read(model, prompt(50), adapter=kept.number) - theirs).max() < TOLERANCE
    assert greedy(model, prompt(20), 24, 3) == peer.greedy(prompt(20), 24)
    assert np.array_equal(read(model, prompt(50)), plain)


@EACH
def test_an_adapter_of_every_matrix_is_what_merging_it_gives(
    case: Case, folder_of: FolderOf, tmp_path: Path
) -> None:
    config = FUSED if case.family.startswith("glm") else EVERYTHING
    check_merged(case, folder_of, tmp_path, config)


@pytest.mark.parametrize(
    "config",
    [
        {"use_rslora": True},
        {"target_modules": r"model\.layers\.1\.(self_attn\.[qv]_proj|mlp\.down_proj)"},
        {"target_modules": ["v_proj"], "layers_to_transform": None, "r": 1, "lora_alpha": 3},
        {"rank_pattern": {"q_proj": 3, "layers.0.self_attn.o_proj": 21}},
        {"alpha_pattern": {"k_proj": 40, "1.self_attn.v_proj": 1.5}, "rank_pattern": {"k_proj": 2}},
    ],
    ids=["rslora", "regex", "one", "ranks", "alphas"],
)
def test_ranks_scales_and_targets_are_peft_s(
    config: dict[str, object], folder_of: FolderOf, tmp_path: Path
) -> None:
    check_merged(LLAMA, folder_of, tmp_path, config)


def test_an_adapter_of_a_tied_head_changes_the_head_alone(
    folder_of: FolderOf, tmp_path: Path
) -> None:
    base = folder_of(next(case for case in CASES if case.name == "qwen2-tied"))
    model = Model(base, slots=2, rows=64)
    adapter = save_adapter(base, tmp_path / "a", config={"target_modules": ["lm_head"]})
    kept = model.load_adapter(1, adapter)
    plain, changed = read(model, prompt(9)), read(model, prompt(9), adapter=kept.number)
    assert not np.array_equal(plain, changed)
    keys = model._cache.keys[0]
    before = keys.copy()
    read(model, prompt(9), adapter=1)
    assert np.array_equal(keys, before)


@pytest.mark.parametrize("mode", ["fp32", "int8", "int4"])
def test_rows_of_many_adapters_are_each_alone_to_the_bit(
    mode: Mode, folder_of: FolderOf, tmp_path: Path
) -> None:
    base = folder_of(LLAMA)
    model, plain = Model(base, mode, slots=9, rows=128), Model(base, mode, slots=1, rows=128)
    configs: list[dict[str, object]] = [
        {"r": 4},
        {"r": 19, "target_modules": "all-linear"},
        {"target_modules": ["up_proj"]},
    ]
    folders = [
        save_adapter(base, tmp_path / f"{n}", seed=n, size=0.1, config=config)
        for n, config in enumerate(configs)
    ]
    kept = [model.load_adapter(n, folder) for n, folder in enumerate(folders, 1)]
    numbers = np.array([0, 1, 2, 3, 3, 2, 1, 0, 1])
    prompts = [prompt(12, seed=n % 4) for n in range(9)]
    pairs = list(zip(prompts, numbers.tolist(), strict=True))
    alone = [read(model, tokens, adapter=number)[-1] for tokens, number in pairs]
    rows = np.concatenate(prompts), np.repeat(np.arange(9), 12), np.tile(np.arange(12), 9)
    together = model.forward(*rows, np.arange(11, 108, 12), np.repeat(numbers, 12))
    for row, one, (tokens, number) in zip(together, alone, pairs, strict=True):
        assert np.array_equal(row, one)
        assert np.array_equal(row, read(plain, tokens)[-1]) == (number == 0)
    assert [one.number for one in kept] == [1, 2, 3]


@pytest.mark.parametrize(("mode", "least"), [("bf16", 0.98), ("int8", 0.98), ("int4", 0.5)])
def test_an_adapter_is_added_exactly_where_weights_are_rounded(
    mode: Mode, least: float, folder_of: FolderOf, tmp_path: Path
) -> None:
    base = folder_of(LLAMA)
    adapter = save_adapter(base, tmp_path / "a", size=0.1, config={"target_modules": "all-linear"})
    found = []
    modes: tuple[Mode, Mode] = ("fp32", mode)
    for one in modes:
        model = Model(base, one, slots=1, rows=64)
        kept = model.load_adapter(1, adapter)
        found.append(read(model, prompt(40), adapter=kept.number))
    exact, close = found
    product = (exact * close).sum(-1)
    cosine = product / np.linalg.norm(exact, axis=-1) / np.linalg.norm(close, axis=-1)
    assert cosine.min() > least
