"""`sample`: the tokens it keeps and their chances are those of transformers' logits processors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from openautoglm.ops import catalog
from openautoglm.ops.library.sample import Filters, probabilities

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.ops.library.conftest import Kernels

Array = np.ndarray[Any, np.dtype[Any]]
NARROW = 1e-5
"""Chances closer to a cut than this fall on either side of it by rounding."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The parameters of one row."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition: float = 1.0
    presence: float = 0.0
    frequency: float = 0.0


PARAMETERS = st.builds(
    Asked,
    temperature=st.sampled_from([0.3, 0.7, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 3, 40, 300, 5000]),
    top_p=st.sampled_from([1.0, 0.95, 0.8, 0.3, 0.01]),
    min_p=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    repetition=st.sampled_from([1.0, 1.3, 0.8]),
)
ROWS = st.tuples(
    st.sampled_from([1, 2, 31, 32, 200, 255, 256, 257, 3000]),
    st.sampled_from([0.1, 1.0, 5.0]),
    st.integers(0, 2**31),
)


def draw(size: int, spread: float, seed: int) -> Array:
    """Return logits no two of which are equal, so that every cut is at one place."""
    rng = np.random.default_rng(seed)
    return (rng.permutation(np.linspace(-3, 1, size) ** 3) * spread).astype("float32")


def expected(logits: Array, asked: Asked, seen: Array) -> Array:
    """Return the chances after transformers' own processors, in their order, in f64."""
    scores = torch.from_numpy(logits.astype("float64"))[None]
    ids = torch.from_numpy(seen)[None]
    steps: list[Any] = []
    if asked.repetition != 1:
        steps.append(theirs.RepetitionPenaltyLogitsProcessor(asked.repetition))
    if asked.temperature != 1:
        steps.append(theirs.TemperatureLogitsWarper(asked.temperature))
    if asked.top_k:
        steps.append(theirs.TopKLogitsWarper(asked.top_k))
    if asked.top_p < 1:
        steps.append(theirs.TopPLogitsWarper(asked.top_p))
    if asked.min_p > 0:
        steps.append(theirs.MinPLogitsWarper(asked.min_p))
    for step in steps:
        scores = step(ids, scores)
    return np.asarray(scores.softmax(-1)[0].numpy())


def sample(
    kernel: Callable[..., object], logits: Array, asked: Asked, **given: Array
) -> tuple[Array, Array]:
    """Return tokens and log-probabilities of rows that all ask the same."""
    rows = len(logits)
    token, logprob = torch.empty(rows, dtype=torch.int64), torch.empty(rows)

    def each(value: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.full((rows,), value, dtype=dtype)

    more = {name: torch.from_numpy(value) for name, value in given.items()}
    kernel(
        torch.from_numpy(logits),
        each(asked.temperature),
        more.get("uniform"),
        each(asked.top_k, torch.int64),
        *(each(value) for value in (asked.top_p, asked.min_p)),
        *(each(value) for value in (asked.repetition, asked.presence, asked.frequency)),
        *(more.get(name) for name in ("edited", "count", "bias", "mask")),
        True,
        token,
        logprob,
    )
    return token.numpy(), logprob.numpy()


def seen_edits(seen: Array, rows: int, vocabulary: int) -> dict[str, Array]:
    """Return each row's seen tokens as edits, all of the prompt."""
    unique = np.unique(seen)
    places = np.arange(rows)[:, None] * vocabulary + unique
    return {"edited": places.reshape(-1), "count": np.zeros(places.size, np.int64)}


def is_near_a_cut(logits: Array, asked: Asked, seen: Array) -> bool:
    """Say whether a slightly other top_p or min_p keeps other tokens."""
    found = []
    for factor in (1 - NARROW, 1 + NARROW):
        changed = Asked(
            temperature=asked.temperature,
            top_k=asked.top_k,
            top_p=asked.top_p * factor if asked.top_p < 1 else 1.0,
            min_p=asked.min_p * factor if asked.min_p < 1 else asked.min_p,
            repetition=asked.repetition,
        )
        found.append(expected(logits, changed, seen) > 0)
    return bool((found[0] != found[1]).any())


@given(ROWS, PARAMETERS)
@settings(max_examples=150, deadline=None)
def test_the_kept_tokens_and_their_chances_are_those_of_transformers(
    row: tuple[int, float, int], asked: Asked
) -> None:
    logits = draw(*row)
    seen = np.random.default_rng(row[2]).integers(0, row[0], 5)
    if is_near_a_cut(logits, asked, seen):
        return
    wanted = expected(logits, asked, seen)
    edited = logits.astype("float64")
    unique = np.unique(seen)
    factor = asked.repetition
    edited[unique] = np.where(edited[unique] < 0, edited[unique] * factor, edited[unique] / factor)
    ours = probabilities(
        edited,
        Filters(
            temperature=asked.temperature,
            top_k=asked.top_k,
            top_p=asked.top_p,
            min_p=asked.min_p,
        ),
    )
    np.testing.assert_array_equal(ours > 0, wanted > 0)
    np.testing.assert_allclose(ours, wanted, atol=1e-9)


@given(ROWS, PARAMETERS)
@settings(max_examples=60, deadline=None)
def test_every_kept_token_has_its_interval_of_uniform_numbers(
    kernels: Kernels, row: tuple[int, float, int], asked: Asked
) -> None:
    """Uniform numbers just inside both ends of each interval give its token, on every machine."""
    logits = draw(*row)
    seen = np.random.default_rng(row[2]).integers(0, row[0], 5)
    if is_near_a_cut(logits, asked, seen):
        return
    chances = expected(logits, asked, seen)
    high = chances.cumsum()
    low = high - chances
    tokens = np.flatnonzero(chances > 4 * NARROW)[:200]
    uniform = np.concatenate([low[tokens] + NARROW, high[tokens] - NARROW])
    rows = np.repeat(logits[None], len(uniform), axis=0)
    edits = seen_edits(seen, len(uniform), len(logits))
    for isa in ("", "x86-64-v3", "x86-64-v4"):
        if (kernel := kernels.find("sample", isa)) is None:
            continue
        found, _ = sample(kernel, rows, asked, uniform=uniform.astype("float32"), **edits)
        np.testing.assert_array_equal(found, np.concatenate([tokens, tokens]))


def test_many_uniform_numbers_give_the_distribution(kernels: Kernels, isa: str) -> None:
    logits = draw(40, 1.0, 3)
    asked = Asked(temperature=1.5, top_p=0.95)
    wanted = expected(logits, asked, np.zeros(1, np.int64))
    count = 20_000
    uniform = np.random.default_rng(1).random(count).astype("float32")
    rows = np.repeat(logits[None], count, axis=0)
    found, _ = sample(kernels.get("sample", isa), rows, asked, uniform=uniform)
    shares = np.bincount(found, minlength=40) / count
    assert np.abs(shares - wanted).max() < 4 * math.sqrt(0.25 / count)
    assert not shares[wanted == 0].any()


def test_a_greedy_row_takes_the_lowest_of_the_largest(kernels: Kernels, isa: str) -> None:
    logits = np.zeros((3, 700), "float32")
    logits[0, [5, 600]] = 2
    logits[1, [300, 301]] = 7
    logits[2] = -1
    found, logprob = sample(kernels.get("sample", isa), logits, Asked(temperature=0))
    assert found.tolist() == [5, 300, 0]
    wanted = torch.from_numpy(logits).log_softmax(-1).numpy()
    np.testing.assert_allclose(logprob, wanted[range(3), found], rtol=1e-6)


def test_equal_logits_at_the_cut_of_top_p_keep_the_lower_tokens(kernels: Kernels, isa: str) -> None:
    logits = np.zeros((50, 1000), "float32")
    uniform = np.linspace(0, 0.999, 50, dtype="float32")
    found, _ = sample(kernels.get("sample", isa), logits, Asked(top_p=0.25), uniform=uniform)
    assert found.max() == 249
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("top_k", [0, 20], ids=["all", "some"])
def test_a_row_gives_the_same_whatever_is_beside_it(kernels: Kernels, isa: str, top_k: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((9, 2000)).astype("float32")
    uniform = rng.random(9).astype("float32")
    kernel = kernels.get("sample", isa)
    asked = Asked(top_k=top_k)
    together, scores = sample(kernel, logits, asked, uniform=uniform)
    for row in range(9):
        alone = sample(
            kernel, logits[row : row + 1].copy(), asked, uniform=uniform[row : row + 1].copy()
        )
        assert (alone[0][0], alone[1][0]) == (together[row], scores[row])


def test_a_row_without_a_token_or_with_nan_gives_minus_one(kernels: Kernels, isa: str) -> None:
    logits = np.zeros((4, 70), "float32")
    logits[0, 3] = math.nan
    logits[1, 3] = math.inf
    logits[2] = -math.inf
    mask = np.full((4, 3), -1, "int32")
    mask[3] = 0
    for temperature in (0.0, 1.0):
        found, logprob = sample(
            kernels.get("sample", isa),
            logits,
            Asked(temperature=temperature),
            uniform=np.zeros(4, "float32"),
            mask=mask,
        )
        assert found.tolist() == [-1] * 4
        assert np.isnan(logprob).all()


def test_a_mask_leaves_only_its_tokens(kernels: Kernels, isa: str) -> None:
    vocabulary = 70
    logits = np.arange(vocabulary, dtype="float32")[None].repeat(3, axis=0) / 100
    mask = np.zeros((3, 3), "int32")
    mask[0, 0] = 1 << 7
    mask[1, 2] = 1 << 4 | 1 << 30  # 68, and one beyond the vocabulary
    mask[2, 1] = -(2**31)
    for temperature in (0.0, 1.0):
        found, _ = sample(
            kernels.get("sample", isa),
            logits,
            Asked(temperature=temperature),
            uniform=np.full(3, 0.9, "float32"),
            mask=mask,
        )
        assert found.tolist() == [7, 68, 63]


def test_tokens_of_the_answer_pay_presence_and_frequency(kernels: Kernels, isa: str) -> None:
    logits = np.array([[2.0, 1.9, 1.0]], "float32")
    kernel = kernels.get("sample", isa)

    def choose(count: int, presence: float, frequency: float) -> int:
        asked = Asked(temperature=0, presence=presence, frequency=frequency)
        edits = {"edited": np.zeros(1, np.int64), "count": np.array([count])}
        return int(sample(kernel, logits, asked, **edits)[0][0])

    assert choose(-1, 5.0, 5.0) == 0
    assert choose(0, 5.0, 5.0) == 0
    assert choose(1, 0.2, 0.0) == 1
    assert choose(1, 0.0, 0.06) == 0
    assert choose(2, 0.0, 0.06) == 1
    assert choose(1, -1.0, 0.0) == 0


def test_a_bias_forbids_or_forces_a_token(kernels: Kernels, isa: str) -> None:
    logits = np.zeros((2, 5), "float32")
    edits = {"edited": np.array([0, 8, 99]), "bias": np.array([-math.inf, 3, 9], "float32")}
    found, logprob = sample(kernels.get("sample", isa), logits, Asked(temperature=0), **edits)
    assert found.tolist() == [1, 3]
    np.testing.assert_allclose(logprob, -math.log(5), rtol=1e-6)


def test_logits_of_any_strides_are_taken() -> None:
    sampler = catalog.get("sample")
    logits = np.random.default_rng(0).standard_normal((6, 40)).astype("float32")
    wanted = logits[:, ::2].argmax(1)
    assert sampler(logits[:, ::2])[0].tolist() == wanted.tolist()
    assert sampler(logits.T.copy().T[:, ::2])[0].tolist() == wanted.tolist()
