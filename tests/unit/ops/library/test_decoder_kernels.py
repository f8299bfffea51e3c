"""The compiled kernels of decoders' operators, each against the operator's reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from openautoglm.errors import OperatorArgumentError
from openautoglm.ops.library.attention import ATTENTION, ATTENTION_BF16
from openautoglm.ops.library.embedding import EMBEDDING
from openautoglm.ops.library.linear import LINEAR, LINEAR_BF16, LINEAR_INT8, pack, quantize
from openautoglm.ops.library.linear_int4 import LINEAR_INT4, pack_int4, quantize_int4
from openautoglm.ops.library.rope import ROPE
from openautoglm.ops.library.silu_gated import SILU_GATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.ops.library.conftest import Kernels

    from openautoglm.ops.opdef import OpDef

    Array = np.ndarray[Any, np.dtype[Any]]

ISAS = {
    "linear": ("", "x86-64-v3", "x86-64-v4"),
    "linear_int8": ("", "x86-64-v3", "avx512_vnni"),
    "linear_int4": ("", "x86-64-v3", "avx512_vnni"),
    "attention": ("", "x86-64-v3", "x86-64-v4"),
    "attention_bf16": ("", "x86-64-v3", "x86-64-v4"),
    "silu_gated": ("", "x86-64-v3", "x86-64-v4"),
}
ROWS = [0, 1, 2, 3, 5, 6, 7, 8, 9, 17]
WINDOWS = [0, 1, 7, 40]


def floats(*shape: int, seed: int = 0) -> Array:
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape).astype(np.float32)


def expected(opdef: OpDef, *arguments: object) -> Any:  # noqa: ANN401 - an array of either library
    assert opdef.reference is not None
    return opdef.reference(*arguments)


def of(kernels: Kernels, op: str) -> list[Callable[..., object]]:
    """Return the kernels of an operator that this processor can run."""
    found = [kernels.find(op, isa) for isa in ISAS[op]]
    return [kernel for kernel in found if kernel is not None]


def rows_of_int8(rows: int, depth: int, blocks: int) -> tuple[Array, ...]:
    whole, scale = quantize(floats(blocks * 16, depth))
    x = floats(rows, depth).reshape(rows, depth // 4, 4)
    bias, residual = floats(blocks, 16), floats(rows, blocks, 16, seed=1)
    return x, pack(whole, 4), scale.reshape(blocks, 16), bias, residual


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("depth", "blocks"), [(0, 2), (1, 1), (33, 5), (64, 25)])
def test_linear_is_its_reference_and_each_row_is_its_own(
    kernels: Kernels, rows: int, depth: int, blocks: int
) -> None:
    x, weight = floats(rows, depth), pack(floats(blocks * 16, depth))
    bias, residual = floats(blocks, 16), floats(rows, blocks, 16, seed=1)
    for kernel in of(kernels, "linear"):
        for extra in ((None, None), (bias, residual)):
            out, one = np.zeros((2, rows, blocks, 16), np.float32)
            kernel(x, weight, *extra, out)
            np.testing.assert_allclose(
                out, expected(LINEAR, x, weight, *extra), rtol=2e-5, atol=2e-5
            )
            for row in range(rows):
                kept = None if extra[1] is None else extra[1][row : row + 1]
                kernel(x[row : row + 1], weight, extra[0], kept, one[row : row + 1])
            np.testing.assert_array_equal(out, one)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("depth", "blocks"), [(0, 2), (4, 1), (36, 5), (128, 25)])
def test_linear_int8_is_its_reference_whatever_the_instructions(
    kernels: Kernels, rows: int, depth: int, blocks: int
) -> None:
    arguments = rows_of_int8(rows, depth, blocks)
    wanted = expected(LINEAR_INT8, *arguments)
    for kernel in of(kernels, "linear_int8"):
        out = np.zeros((rows, blocks, 16), np.float32)
        kernel(*arguments, out)
        np.testing.assert_allclose(out, wanted, rtol=2e-6, atol=2e-6)


def test_linear_int8_rounds_rows_of_any_size_as_its_reference(kernels: Kernels) -> None:
    _, weight, scale, _, _ = rows_of_int8(1, 36, 3)
    peaks = [0, 1e-45, 1e-39, 0.999e-30, 1e-30, 1.1e-30, 1, 1e30, 3.4e38, np.inf, -np.inf, np.nan]
    x = np.clip(floats(len(peaks), 36), -1, 1)
    x[:, 33] = 1
    with np.errstate(invalid="ignore"):
        x *= np.array(peaks, np.float32)[:, None]
    x[-3:, :33] = 1
    arguments = x.reshape(-1, 9, 4), weight, scale, None, None
    wanted = expected(LINEAR_INT8, *arguments)
    assert np.isfinite(wanted[:-4]).all()
    assert np.isnan(wanted[-3:]).all()
    for kernel in of(kernels, "linear_int8"):
        out = np.zeros((len(x), 3, 16), np.float32)
        kernel(*arguments, out)
        np.testing.assert_allclose(out, wanted, rtol=2e-6, atol=1e-37)


def test_linear_int8_is_exact_at_its_greatest_depth_and_refuses_more(kernels: Kernels) -> None:
    depth = 2**17
    for kernel in of(kernels, "linear_int8"):
        for sign in (1, -1):
            x = np.full((1, depth // 4, 4), sign * 127, np.float32)
            weight = np.full((1, depth // 4, 16, 4), -128, np.int8)
            scale, out = np.ones((1, 16), np.float32), np.zeros((1, 1, 16), np.float32)
            kernel(x, weight, scale, None, None, out)
            assert (out == -sign * 127 * 128 * depth).all()
        more = [np.concatenate([part, part[:, :1]], axis=1) for part in (x, weight)]
        with pytest.raises(OperatorArgumentError, match="at most 131072"):
            kernel(*more, scale, None, None, out)


def rows_of_int4(rows: int, depth: int, blocks: int) -> tuple[Array, ...]:
    n, grid, scale = quantize_int4(floats(blocks * 16, depth))
    x = floats(rows, depth).reshape(rows, depth // 32, 32)
    bias, residual = floats(blocks, 16), floats(rows, blocks, 16, seed=1)
    return x, *pack_int4(n, grid), scale.reshape(blocks, 16), bias, residual


@pytest.mark.parametrize("rows", [*ROWS, 15, 16, 64, 65, 66, 79, 80])
@pytest.mark.parametrize(("depth", "blocks"), [(0, 2), (32, 1), (96, 5), (128, 25)])
def test_linear_int4_is_its_reference_to_the_bit_whatever_the_instructions(
    kernels: Kernels, rows: int, depth: int, blocks: int
) -> None:
    x, weight, grid, scale, bias, residual = rows_of_int4(rows, depth, blocks)
    wanted = expected(LINEAR_INT4, x, weight, grid, scale, bias, residual)
    alone = np.zeros((rows, blocks, 16), np.float32)
    for kernel in of(kernels, "linear_int4"):
        out = np.zeros((rows, blocks, 16), np.float32)
        kernel(x, weight, grid, scale, bias, residual, out)
        np.testing.assert_allclose(out, wanted, rtol=2e-6, atol=2e-6)
        for row in range(rows):
            kept = residual[row : row + 1]
            kernel(x[row : row + 1], weight, grid, scale, bias, kept, alone[row : row + 1])
        np.testing.assert_array_equal(out, alone)


def test_linear_int4_takes_any_bytes_and_a_row_that_is_not_finite_is_nan(
    kernels: Kernels,
) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 256, (3, 4, 4, 16, 4)).astype(np.uint8)
    grid = rng.integers(0, 256, (3, 4, 16)).astype(np.uint8)
    scale, x = floats(3, 16), floats(20, 4, 32)
    x[3, 2, 7], x[4, 0, 0] = np.nan, -np.inf
    for count in (1, 5, 20):
        wanted = expected(LINEAR_INT4, x[:count], weight, grid, scale, None, None)
        for kernel in of(kernels, "linear_int4"):
            out = np.zeros((count, 3, 16), np.float32)
            kernel(x[:count], weight, grid, scale, None, None, out)
            np.testing.assert_allclose(out, wanted, rtol=2e-6, atol=1e-30)
            assert np.isnan(out).all(axis=(1, 2)).tolist() == [i in {3, 4} for i in range(count)]


def test_int4_loses_a_twelfth_of_normal_weights() -> None:
    values = floats(64, 256)
    n, grid, scale = quantize_int4(values)
    m, z = grid[..., None] % 16 + 1.0, grid[..., None] // 16
    back = (n.reshape(64, 8, 32) - z.astype(float)) * m * scale[:, None, None]
    lost = np.linalg.norm(back.reshape(64, 256) - values) / np.linalg.norm(values)
    assert lost < 1 / 12


def test_no_output_needs_no_room_for_rows(kernels: Kernels) -> None:
    x, out = np.zeros((2**40, 0, 4), np.float32), np.zeros((2**40, 0, 16), np.float32)
    weight, scale = np.zeros((0, 0, 16, 4), np.int8), np.zeros((0, 16), np.float32)
    for kernel in of(kernels, "linear_int8"):
        kernel(x, weight, scale, None, None, out)


def test_linear_kernels_refuse_outputs_of_other_rows(kernels: Kernels) -> None:
    weight = pack(floats(16, 8))
    for kernel in of(kernels, "linear"):
        for shape in ((3, 1, 16), (4, 1, 1, 16), (1, 16), (2, 2, 1, 16)):
            with pytest.raises(OperatorArgumentError):
                kernel(floats(4, 8), weight, None, None, np.zeros(shape, np.float32))


def cache(slots: int, heads: int, blocks: int, width: int) -> tuple[Array, Array]:
    return floats(slots, heads, blocks, width, 16), floats(slots, heads, blocks, 16, width)


@pytest.mark.parametrize("group", [1, 2, 3, 5, 8, 16])
@pytest.mark.parametrize("width", [1, 5, 16, 40, 64])
def test_attention_is_its_reference_and_each_row_is_its_own(
    kernels: Kernels, group: int, width: int
) -> None:
    k, v = cache(3, 2, 5, width)
    position = np.array([*range(11), 79, 78, 30, 31, 32, 33, 15, 16, 17])
    slot = np.array([0] * 11 + [1, 1] + [2] * 7)
    q = floats(len(slot), 2, group, width)
    for kernel in of(kernels, "attention"):
        for window in WINDOWS:
            arguments = k, v, slot, position, 0.3, window
            out, one = np.zeros((2, *q.shape), np.float32)
            kernel(q, *arguments, out)
            np.testing.assert_allclose(
                out, expected(ATTENTION, q, *arguments), rtol=1e-4, atol=1e-5
            )
            for i in range(len(slot)):
                row = slice(i, i + 1)
                kernel(q[row], k, v, slot[row], position[row], 0.3, window, one[row])
            np.testing.assert_array_equal(out, one)


@pytest.mark.parametrize("group", [1, 3, 8])
@pytest.mark.parametrize("width", [5, 16, 40, 64])
def test_attention_over_bf16_is_that_over_the_same_values_in_f32(
    kernels: Kernels, group: int, width: int
) -> None:
    k, v = (torch.from_numpy(part).bfloat16() for part in cache(3, 2, 5, width))
    position = torch.tensor([*range(11), 79, 78, 30, 31, 32])
    slot = torch.tensor([0] * 11 + [1, 1, 2, 2, 2])
    q = torch.from_numpy(floats(len(slot), 2, group, width))
    for kernel in of(kernels, "attention_bf16"):
        for window in WINDOWS:
            out, one = torch.zeros(2, *q.shape)
            kernel(q, k, v, slot, position, 0.3, window, out)
            wanted = expected(ATTENTION_BF16, q, k, v, slot, position, 0.3, window)
            torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-5)
            for i in range(len(slot)):
                row = slice(i, i + 1)
                kernel(q[row], k, v, slot[row], position[row], 0.3, window, one[row])
            assert torch.equal(out, one)


def test_a_row_outside_the_cache_is_nan_and_its_neighbours_are_not(kernels: Kernels) -> None:
    k, v = cache(2, 1, 2, 8)
    position = np.array([30, 31, 32, 33, -2, -1, 0, 1, 2**63 - 1, -(2**63), 4, 5, 6])
    slot = np.array([0] * 10 + [1, 2, -1])
    q = floats(len(slot), 1, 1, 8)
    good = [0, 1, 6, 7, 10]
    for kernel in of(kernels, "attention"):
        out = np.zeros_like(q)
        kernel(q, k, v, slot, position, 1.0, 0, out)
        assert [i for i in range(len(slot)) if np.isfinite(out[i]).all()] == good
        assert np.isnan(np.delete(out, good, axis=0)).all()
        wanted = expected(ATTENTION, q, k, v, slot, position, 1.0, 0)
        np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("window", [0, 2])
def test_what_a_row_does_not_look_at_is_no_matter(
    kernels: Kernels, value: float, window: int
) -> None:
    k, v = cache(1, 1, 2, 8)
    position = np.arange(12)
    k[0, 0, 0, :, 6] = v[0, 0, 0, 6] = value
    q, slot = np.abs(floats(12, 1, 1, 8)), np.zeros(12, np.int64)
    seen = [6, 7] if window else range(6, 12)
    for kernel in of(kernels, "attention"):
        out = np.zeros_like(q)
        kernel(q, k, v, slot, position, 1.0, window, out)
        assert [i for i in range(12) if not np.isfinite(out[i]).all()] == list(seen)
        wanted = expected(ATTENTION, q, k, v, slot, position, 1.0, window)
        np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [0, 1, 3, 15, 16, 17, 100])
def test_silu_gated_is_its_reference(kernels: Kernels, width: int) -> None:
    x = floats(5, 2, width) * 20
    if width > 15:
        x[0, 0, :6] = [np.nan, np.inf, -np.inf, 100, -100, -0.0]
    for kernel in of(kernels, "silu_gated"):
        out = np.zeros((5, width), np.float32)
        kernel(x, out)
        np.testing.assert_allclose(out, expected(SILU_GATED, x), rtol=1e-5, atol=1e-30)


def test_rope_and_embedding_take_any_strides_and_numbers_outside_give_nan(
    kernels: Kernels,
) -> None:
    number = np.array([3, -1, 0, 99, 6, 7, 2**62, 5])[::-1]
    x, cos, sin = floats(8, 6, 4, 12)[:, ::2, 1:3, ::-2], floats(6, 7).T, floats(7, 12)[:, ::2]
    out = np.zeros((8, 3, 2, 6), np.float32)
    kernels.get("rope", "")(x, number, cos, sin, out)
    wanted = expected(ROPE, x, number, cos, sin)
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-6)
    assert np.isnan(out).all(axis=(1, 2, 3)).tolist() == [not 0 <= n < 7 for n in number]
    for table in (floats(7, 10)[::-1, ::-2], floats(7, 5).astype(np.float16)):
        found = np.zeros((8, 5), np.float32)
        kernels.get("embedding", "")(table, number, found)
        np.testing.assert_array_equal(found, expected(EMBEDDING, table, number))


@pytest.mark.parametrize("isa", ["", "x86-64-v3", "x86-64-v4", "avx512_bf16"])
@pytest.mark.parametrize("rows", ROWS)
def test_linear_bf16_is_its_reference_and_each_row_is_its_own(
    kernels: Kernels, isa: str, rows: int
) -> None:
    kernel = kernels.get("linear_bf16", isa)
    for depth, blocks in ((0, 2), (2, 1), (34, 5), (64, 25)):
        x = torch.from_numpy(floats(rows, depth)).reshape(rows, depth // 2, 2)
        weight = torch.from_numpy(pack(floats(blocks * 16, depth), 2)).bfloat16()
        out, one = torch.zeros(2, rows, blocks, 16)
        kernel(x, weight, None, None, out)
        wanted = expected(LINEAR_BF16, x, weight.float(), None, None)
        torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-5)
        for row in range(rows):
            kernel(x[row : row + 1], weight, None, None, one[row : row + 1])
        assert torch.equal(out, one)
