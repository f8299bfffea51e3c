"""The native decoder against transformers: every family, option and way of storing weights."""

from __future__ import annotations

from shutil import copytree
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from openautoglm.engine.backends.native.model.model import Model
from openautoglm.ops.library.linear_int4 import quantize_int4

from .decoders import CASES, CONTEXT, VOCABULARY, Case, Peer, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from openautoglm.engine.backends.native.weights.convert import Mode

    Numbers = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float32]]

ALL = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
CUT = ("qwen2-window", "llama-many-heads")  # attention cuts their rows into other tiles
FAMILIES = [case for case in CASES if "-" not in case.name or case.name in CUT]
EACH = pytest.mark.parametrize("case", FAMILIES, ids=[case.name for case in FAMILIES])
STEPS = 48
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Path]:
    root = tmp_path_factory.mktemp("decoders")

    def make(case: Case) -> Path:
        folder = root / case.name
        return folder if folder.is_dir() else save(case, folder)

    return make


@pytest.fixture
def loaded(folder_of: Callable[[Case], Path]) -> Iterator[Callable[..., Model]]:
    made: list[Model] = []

    def load(case: Case, mode: Mode = "fp32", **sizes: int) -> Model:
        model = Model(folder_of(case), mode, **{"slots": 9, "rows": 128, **sizes})
        made.append(model)
        return model

    yield load
    for model in made:
        model.close()


def prompt(length: int, seed: int = 0) -> Numbers:
    return np.random.default_rng(seed).integers(3, VOCABULARY, length)


def read(model: Model, tokens: Sequence[int] | Numbers, *, slot: int = 0, at: int = 0) -> Floats:
    count = len(tokens)
    rows = np.arange(count)
    slots = np.full(count, slot)
    return model.forward(np.asarray(tokens), slots, at + rows, rows).copy()


def greedy(model: Model, tokens: Numbers, count: int, slot: int = 0) -> list[int]:
    made = [int(read(model, tokens, slot=slot)[-1].argmax())]
    while len(made) < count:
        place = len(tokens) + len(made) - 1
        made.append(int(read(model, made[-1:], slot=slot, at=place)[0].argmax()))
    return made


@ALL
def test_logits_are_those_of_transformers(
    case: Case, loaded: Callable[..., Model], folder_of: Callable[[Case], Path]
) -> None:
    tokens = prompt(100)
    mine, theirs = read(loaded(case), tokens), Peer(folder_of(case)).logits(tokens)
    assert np.abs(theirs).max() > 1  # a decoder that says nothing would prove nothing
    assert np.abs(mine - theirs).max() < TOLERANCE


@ALL
def test_greedy_tokens_are_those_of_transformers(
    case: Case, loaded: Callable[..., Model], folder_of: Callable[[Case], Path]
) -> None:
    tokens = prompt(21)
    assert greedy(loaded(case), tokens, STEPS) == Peer(folder_of(case)).greedy(tokens, STEPS)


@EACH
@pytest.mark.parametrize("mode", ["fp32", "int8", "int4"])
def test_a_prompt_in_chunks_is_the_prompt_whole_to_the_bit(
    case: Case, mode: str, loaded: Callable[..., Model]
) -> None:
    model, tokens = loaded(case, mode), prompt(90)
    whole = read(model, tokens)
    for size in (1, 7, 16, 33):
        parts = [read(model, tokens[i : i + size], slot=size % 9, at=i) for i in range(0, 90, size)]
        assert np.array_equal(np.concatenate(parts), whole)


@EACH
@pytest.mark.parametrize("mode", ["fp32", "int8", "int4"])
def test_eight_rows_together_are_each_alone_to_the_bit(
    case: Case, mode: str, loaded: Callable[..., Model]
) -> None:
    model = loaded(case, mode)
    prompts = [prompt(length, seed=length) for length in (3, 9, 14, 16, 17, 30, 41, 64)]
    alone = []
    for tokens in prompts:
        first = read(model, tokens, slot=8)[-1]
        alone.append((first, read(model, [first.argmax()], slot=8, at=len(tokens))[0]))
    for slot, tokens in enumerate(prompts):
        read(model, tokens, slot=slot)
    nexts = np.array([first.argmax() for first, _ in alone])
    places = np.array([len(tokens) for tokens in prompts])
    together = model.forward(nexts, np.arange(8), places, np.arange(8))
    for row, (_, second) in zip(together, alone, strict=True):
        assert np.array_equal(row, second)


@EACH
def test_prompts_and_single_tokens_in_one_call_are_each_alone_to_the_bit(
    case: Case, loaded: Callable[..., Model]
) -> None:
    model, long, short = loaded(case), prompt(40), prompt(25, seed=1)
    alone = read(model, long)[-1], read(model, short, slot=1)[-1]
    read(model, long[:-1], slot=2)
    mixed = model.forward(
        np.concatenate([short, long[-1:]]),
        np.array([3] * 25 + [2]),
        np.append(np.arange(25), 39),
        np.array([25, 24]),
    )
    assert np.array_equal(mixed[0], alone[0])
    assert np.array_equal(mixed[1], alone[1])


@EACH
@pytest.mark.parametrize(("mode", "least"), [("bf16", 0.99), ("int8", 0.99), ("int4", 0.5)])
def test_the_shorter_modes_are_close(
    case: Case, mode: str, least: float, loaded: Callable[..., Model]
) -> None:
    tokens = prompt(60)
    exact, close = read(loaded(case), tokens), read(loaded(case, mode), tokens)
    product = (exact * close).sum(-1)
    cosine = product / np.linalg.norm(exact, axis=-1) / np.linalg.norm(close, axis=-1)
    assert cosine.min() > least
    assert cosine.mean() > least + (mode == "int4") * 0.3
    assert not np.array_equal(exact, close)


@EACH
def test_int4_is_close_to_the_same_weights_in_f32(
    case: Case, loaded: Callable[..., Model], folder_of: Callable[[Case], Path], tmp_path: Path
) -> None:
    folder, rounded = folder_of(case), tmp_path / "rounded"
    copytree(folder, rounded)
    weights = load_file(rounded / "model.safetensors")
    for name, weight in weights.items():
        if "layers." in name and weight.ndim == 2:
            n, grid, scale = quantize_int4(weight.astype(np.float32))
            m, z = (part[..., None].astype(np.float32) for part in (grid % 16 + 1, grid // 16))
            whole = (n.reshape(*grid.shape, 32) - z) * m
            weights[name] = whole.reshape(weight.shape) * scale[:, None]
    save_file(weights, rounded / "model.safetensors", metadata={"format": "pt"})
    exact = Model(rounded, "fp32", slots=1, rows=128)
    tokens = prompt(60)
    wanted, close = read(exact, tokens), read(loaded(case, "int4"), tokens)
    exact.close()
    product = (wanted * close).sum(-1)
    cosine = product / np.linalg.norm(wanted, axis=-1) / np.linalg.norm(close, axis=-1)
    assert cosine.min() > 0.99


@EACH
def test_two_threads_give_the_same_to_the_bit(case: Case, loaded: Callable[..., Model]) -> None:
    tokens = prompt(100)
    assert np.array_equal(read(loaded(case), tokens), read(loaded(case, threads=2), tokens))


@EACH
def test_a_copied_prefix_is_as_good_as_a_read_one(case: Case, loaded: Callable[..., Model]) -> None:
    model, tokens = loaded(case), prompt(50)
    whole = read(model, tokens)
    for prefix in (1, 16, 37):
        model.release(4)
        model.copy_prefix(0, 4, prefix)
        rest = read(model, tokens[prefix:], slot=4, at=prefix)
        assert np.array_equal(rest, whole[prefix:])


def test_the_whole_context_can_be_used(
    loaded: Callable[..., Model], folder_of: Callable[[Case], Path]
) -> None:
    case = CASES[0]
    tokens = prompt(CONTEXT)
    mine = read(loaded(case, rows=CONTEXT), tokens)
    assert np.abs(mine - Peer(folder_of(case)).logits(tokens)).max() < TOLERANCE
