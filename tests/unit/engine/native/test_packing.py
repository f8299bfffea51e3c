"""Weights packed by the core, beside what the operators' own functions make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from openautoglm.engine.backends.native.weights.files import Stored, widened
from openautoglm.engine.backends.native.weights.matrix import Part
from openautoglm.engine.backends.native.weights.packing import Target, pack_part
from openautoglm.errors import OperatorArgumentError, WeightsCorruptError
from openautoglm.ops.library.linear import pack, quantize
from openautoglm.ops.library.linear_int4 import pack_int4, quantize_int4

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

DTYPES = ["float32", "float16", "bfloat16"]
SIZES = [(16, 8), (37, 12), (1, 4), (100, 64)]


def stored(dtype: str, rows: int, depth: int) -> Stored:
    values = torch.randn(rows, depth, generator=torch.manual_seed(rows)) * 3
    values[0, 0], values[-1, -1] = 1e-7, -6e-5  # subnormal in f16
    if dtype == "bfloat16":
        return Stored(values.bfloat16().view(torch.uint16).numpy(), is_bf16=True)
    return Stored(values.numpy().astype(dtype))


def packed(parts: list[Part], group: int, *, threads: int = 1) -> tuple[Array, Array]:
    depth = parts[0].stored.array.shape[1]
    outputs = sum(part.stored.array.shape[0] for part in parts)
    blocks = -(-outputs // 16)
    dtype = {1: np.float32, 2: np.uint16, 4: np.int8}[group]
    target = np.zeros((blocks, depth // group, 16, group), dtype)
    scale, first = np.zeros(blocks * 16, np.float32), 0
    for part in parts:
        into = Target(target, group, scale=scale if group == 4 else None)
        first += pack_part(part, first, into, threads=threads)
    assert first == outputs
    return (target[..., 0] if group == 1 else target), scale[:outputs]


def wanted(values: Array, group: int) -> tuple[Array, Array]:
    if group == 4:
        whole, scale = quantize(values)
        return pack(whole, 4), scale
    if group == 2:
        bits = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
        return pack(bits, 2), np.zeros(len(values), np.float32)
    return pack(values), np.zeros(len(values), np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("threads", [1, 3])
def test_parts_are_packed_below_each_other_to_the_last_bit(
    dtype: str, group: int, threads: int
) -> None:
    for rows, depth in SIZES:
        order = np.random.default_rng(rows).permutation(rows)
        first, second = stored(dtype, rows, depth), stored(dtype, rows + 5, depth)
        found = packed([Part("a", first, order), Part("b", second)], group, threads=threads)
        wide = [widened(one.array, is_bf16=one.is_bf16) for one in (first, second)]
        for got, expected in zip(
            found, wanted(np.concatenate([wide[0][order], wide[1]]), group), strict=True
        ):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_int4_is_packed_as_the_operator_says_to_the_last_bit(dtype: str, threads: int) -> None:
    first, second = stored(dtype, 37, 96), stored(dtype, 16, 96)
    order = np.random.default_rng(0).permutation(37)
    wide = [widened(one.array, is_bf16=one.is_bf16) for one in (first, second)]
    wide[1][3], wide[1][4, :32], wide[1][5, 32:64], wide[1][6] = 0, 1e-3, 3, 1e-38
    wide[1][7, 0], wide[1][8] = 1e4, -2
    second = Stored(wide[1])
    weight, grid = np.zeros((4, 3, 4, 16, 4), np.uint8), np.zeros((4, 3, 16), np.uint8)
    scale, at = np.zeros(64, np.float32), 0
    for part in (Part("a", first, order), Part("b", second)):
        at += pack_part(part, at, Target(weight, 8, scale=scale, grid=grid), threads=threads)
    n, grids, scales = quantize_int4(np.concatenate([wide[0][order], wide[1]]))
    for got, expected in zip((weight, grid), pack_int4(n, grids), strict=True):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(scale[:53], scales)


def test_int4_wants_whole_groups() -> None:
    target = Target(np.zeros((1, 1, 4, 16, 4), np.uint8), 8)
    with pytest.raises(OperatorArgumentError, match="depth 40, group 32"):
        pack_part(Part("a", Stored(np.ones((4, 40), np.float32))), 0, target)


def test_rows_of_zeros_and_of_tiny_numbers_are_quantized_as_the_operator_says() -> None:
    values = np.zeros((16, 8), np.float32)
    values[1], values[2], values[3] = 1e-45, 1e-31, 3e38
    for got, expected in zip(
        packed([Part("a", Stored(values))], 4), wanted(values, 4), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_a_weight_that_does_not_lie_on_its_own_boundary_is_read_all_the_same() -> None:
    room = np.frombuffer(b"x" + np.arange(64, dtype=np.float32).tobytes(), np.uint8)
    shifted = np.frombuffer(room.data, np.float32, 64, 1).reshape(8, 8)
    assert not shifted.flags.aligned
    found, _ = packed([Part("a", Stored(shifted))], 1)
    np.testing.assert_array_equal(found, pack(shifted.copy()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_value_that_is_not_finite_is_refused_with_its_weight(value: float, dtype: str) -> None:
    values = np.ones((20, 4), dtype)
    values[17, 2] = values[3, 0] = value
    for group in (1, 2, 4):
        with pytest.raises(WeightsCorruptError, match="name: 2 are NaN or infinite"):
            packed([Part("name", Stored(values))], group)


def test_a_depth_that_fills_no_whole_word_is_refused() -> None:
    with pytest.raises(OperatorArgumentError, match="depth 6, group 4"):
        packed([Part("a", Stored(np.ones((4, 6), np.float32)))], 4)
