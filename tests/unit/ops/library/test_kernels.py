"""Every compiled kernel against formulas in f64, over shapes, strides and values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from openautoglm.errors import OperatorArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.ops.library.conftest import Kernels

    Array = np.ndarray[Any, np.dtype[np.float64]]
    Call = Callable[..., object]

TOLERANCE = {
    torch.float64: 1e-14,
    torch.float32: 2e-6,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}
DTYPES = list(TOLERANCE)
SIZES = [0, 1, 2, 7, 16, 33, 1000]
ROOT_HALF = math.sqrt(0.5)

_erfc = np.vectorize(math.erfc, otypes=[float])


def draw(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def wide(tensor: torch.Tensor) -> Array:
    return np.asarray(tensor.double().numpy())


def assert_close(found: torch.Tensor, expected: Array, scale: float = 1) -> None:
    tolerance = scale * TOLERANCE[found.dtype]
    np.testing.assert_allclose(wide(found), expected, rtol=tolerance, atol=tolerance)


def cdf(u: Array) -> Array:
    return np.asarray(_erfc(-u * ROOT_HALF) / 2)


def gelu(u: Array) -> Array:
    return u * cdf(u)


def gelu_tanh(u: Array) -> Array:
    return np.asarray(u / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3))))


def rms(x: Array, eps: float) -> Array:
    return np.asarray(1 / np.sqrt((x * x).sum(-1, keepdims=True) / max(x.shape[-1], 1) + eps))


def losses(logits: Array, target: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    rows = np.arange(len(logits))
    return np.asarray(np.log(np.exp(shifted).sum(1)) - shifted[rows, target])


def layouts(rows: int, size: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return the same shape in strides of every kind torch has."""
    return [
        draw(rows, size, dtype=dtype),
        draw(size, rows, dtype=dtype).T,
        draw(rows * 2, size * 3, dtype=dtype)[::2, ::3],
        draw(rows, 1, dtype=dtype).expand(rows, size),
        draw(1, size, dtype=dtype).expand(rows, size),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_elementwise_kernels_compute_their_formula(
    kernels: Kernels, isa: str, dtype: torch.dtype, size: int
) -> None:
    x, y, out = draw(3, size, dtype=dtype), draw(3, size, dtype=dtype, seed=1), torch.empty(0)
    cases: list[tuple[str, Array]] = [
        ("add", wide(x) + 0.5 * wide(y)),
        ("mul", wide(x) * wide(y) * 0.5),
        ("scale_add", wide(x) * 0.5 + wide(y)),
    ]
    for op, expected in cases:
        out = torch.empty_like(x)
        kernels.get(op, isa)(x, y, 0.5, out)
        assert_close(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_elementwise_kernels_take_any_strides_and_broadcast(
    kernels: Kernels, isa: str, dtype: torch.dtype
) -> None:
    add = kernels.get("add", isa)
    for x in layouts(5, 37, dtype):
        for y in (*layouts(5, 37, dtype), draw(37, dtype=dtype), draw(dtype=dtype)):
            out = torch.empty(5, 37, dtype=dtype)
            add(x, y, 2.0, out)
            assert_close(out, wide(x) + 2 * wide(y), scale=2)
    deep = draw(2, 3, 4, 5, dtype=dtype)
    other, out = draw(3, 1, 5, dtype=dtype).transpose(0, 2).transpose(0, 2), torch.empty_like(deep)
    add(deep, other, 1.0, out)
    assert_close(out, wide(deep) + wide(other))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_rms_norm_and_its_gradient_compute_their_formula(
    kernels: Kernels, isa: str, dtype: torch.dtype, size: int
) -> None:
    eps = 1e-5
    for weight in (draw(size, dtype=dtype, seed=2), None):
        x, grad = draw(3, size, dtype=dtype), draw(3, size, dtype=dtype, seed=1)
        w = 1.0 if weight is None else wide(weight)
        v, g, r = wide(x), wide(grad), rms(wide(x), eps)
        out, grad_x = torch.empty_like(x), torch.empty_like(x)
        grad_weight = torch.empty(size, dtype=dtype)
        kernels.get("rms_norm", isa)(x, weight, eps, out)
        assert_close(out, v * r * w, scale=2)
        kernels.get("rms_norm_backward", isa)(grad, x, weight, eps, grad_x, grad_weight)
        pull = r**3 * (g * w * v).sum(-1, keepdims=True) / max(size, 1)
        assert_close(grad_x, g * w * r - v * pull, scale=10)
        assert_close(grad_weight, (g * v * r).sum(0), scale=4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_kernels_take_any_strides(kernels: Kernels, isa: str, dtype: torch.dtype) -> None:
    weight = draw(74, dtype=dtype)[::2]
    for x in layouts(70, 37, dtype):
        out, grad_x = torch.empty(70, 37, dtype=dtype), torch.empty(70, 37, dtype=dtype)
        grad_weight = torch.empty(74, dtype=dtype)[::2]
        kernels.get("rms_norm", isa)(x, weight, 1e-6, out)
        assert_close(out, wide(x) * rms(wide(x), 1e-6) * wide(weight), scale=4)
        kernels.get("rms_norm_backward", isa)(x, x, None, 1e-6, grad_x, grad_weight)
        assert_close(grad_weight, (wide(x) ** 2 * rms(wide(x), 1e-6)).sum(0), scale=20)
        kernels.get("bias_gelu", isa)(x, weight, "none", out)
        assert_close(out, gelu(wide(x) + wide(weight)), scale=2)
        target, loss = torch.arange(70) % 37, torch.empty(70, dtype=dtype)
        kernels.get("softmax_cross_entropy", isa)(x, target, -100, loss)
        assert_close(loss, losses(wide(x), target.numpy()), scale=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_bias_gelu_and_its_gradient_compute_their_formula(
    kernels: Kernels, isa: str, dtype: torch.dtype, size: int
) -> None:
    x, bias = 3 * draw(3, size, dtype=dtype), draw(size, dtype=dtype, seed=1)
    grad = draw(3, size, dtype=dtype, seed=2)
    u = wide(x) + wide(bias)
    out, grad_x, grad_bias = torch.empty_like(x), torch.empty_like(x), torch.empty_like(bias)
    for approximate, function in (("none", gelu), ("tanh", gelu_tanh)):
        kernels.get("bias_gelu", isa)(x, bias, approximate, out)
        assert_close(out, function(u), scale=2)
        kernels.get("bias_gelu_backward", isa)(grad, x, bias, approximate, grad_x, grad_bias)
        step = 1e-5
        slope = (function(u + step) - function(u - step)) / (2 * step)
        tolerance = max(1e-8, 8 * TOLERANCE[dtype])
        for found, expected in ((grad_x, wide(grad) * slope), (grad_bias, wide(grad) * slope)):
            formula = expected if found.ndim == 2 else expected.sum(0)
            np.testing.assert_allclose(wide(found), formula, rtol=tolerance, atol=tolerance)


def test_gelu_keeps_the_relative_accuracy_of_its_lower_tail(kernels: Kernels, isa: str) -> None:
    for dtype, low, units in ((torch.float32, -12.5, 8), (torch.float64, -36.0, 8)):
        u = torch.linspace(low, 9, 20_001, dtype=dtype)
        out = torch.empty_like(u)
        kernels.get("bias_gelu", isa)(u[None], torch.zeros_like(u), "none", out[None])
        expected = gelu(wide(u))
        # the formula in f64 rounds u * sqrt(1/2) itself, which the tail answers with u^2 times
        allowed = units * torch.finfo(dtype).eps + 2 * np.finfo(float).eps * wide(u) ** 2
        assert np.all(np.abs(wide(out) - expected) <= allowed * np.abs(expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 7, 16, 33, 1000])
def test_cross_entropy_and_its_gradient_compute_their_formula(
    kernels: Kernels, isa: str, dtype: torch.dtype, classes: int
) -> None:
    logits = 4 * draw(6, classes, dtype=dtype)
    grad = draw(6, dtype=dtype, seed=1)
    target = torch.arange(6) % classes
    loss, grad_logits = torch.empty(6, dtype=dtype), torch.empty_like(logits)
    kernels.get("softmax_cross_entropy", isa)(logits, target, -100, loss)
    assert_close(loss, losses(wide(logits), target.numpy()), scale=2)
    kernels.get("softmax_cross_entropy_backward", isa)(grad, logits, target, -100, grad_logits)
    powers = np.exp(wide(logits))
    difference = powers / powers.sum(1, keepdims=True)
    difference[np.arange(6), target.numpy()] -= 1
    assert_close(grad_logits, difference * wide(grad)[:, None], scale=2)


def test_an_ignored_target_costs_nothing_and_one_that_is_no_class_gives_nan(
    kernels: Kernels, isa: str
) -> None:
    logits = torch.full((4, 5), math.nan)
    logits[1:] = 0
    target = torch.tensor([-100, 5, -1, 0])
    loss, grad_logits = torch.empty(4), torch.empty(4, 5)
    kernels.get("softmax_cross_entropy", isa)(logits, target, -100, loss)
    assert loss[0] == 0
    assert loss[1:3].isnan().all()
    assert loss[3].item() == pytest.approx(math.log(5))
    backward = kernels.get("softmax_cross_entropy_backward", isa)
    backward(torch.ones(4), logits, target, -100, grad_logits)
    assert (grad_logits[0] == 0).all()
    assert grad_logits[1:3].isnan().all()
    empty = torch.empty(4, 0)
    kernels.get("softmax_cross_entropy", isa)(empty, target, -100, loss)
    assert loss.isnan().tolist() == [False, True, True, True]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_go_through(kernels: Kernels, isa: str, dtype: torch.dtype) -> None:
    values = torch.tensor([math.nan, math.inf, -math.inf, 1.0, 0.0], dtype=dtype).repeat(9)
    x, zero = values[None], torch.zeros_like(values)
    out = torch.empty_like(x)
    kernels.get("add", isa)(x, zero, 1.0, out)
    torch.testing.assert_close(out, x, equal_nan=True)
    for approximate in ("none", "tanh"):
        kernels.get("bias_gelu", isa)(x, zero, approximate, out)
        assert out[0, :5].isnan().tolist() == [True, False, True, False, False]
        assert out[0, 1] == math.inf
        kernels.get("bias_gelu", isa)(torch.full_like(x, -6e4), zero, approximate, out)
        assert (out == 0).all()
    kernels.get("rms_norm", isa)(x, None, 1e-6, out)
    assert out.isnan().all()
    loss = torch.empty(3, dtype=dtype)
    rows = torch.tensor([[math.nan, 0.0], [-math.inf, 0.0], [-math.inf, -math.inf]], dtype=dtype)
    kernels.get("softmax_cross_entropy", isa)(rows, torch.tensor([1, 1, 0]), -100, loss)
    assert loss.isnan().tolist() == [True, False, True]
    assert loss[1] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_half_number_survives_and_sums_round_to_even(
    kernels: Kernels, isa: str, dtype: torch.dtype
) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    out = torch.empty_like(every)
    kernels.get("mul", isa)(every, torch.ones_like(every), 1.0, out)
    torch.testing.assert_close(out, every, rtol=0, atol=0, equal_nan=True)
    other = every.flip(0).roll(12_345)
    kernels.get("add", isa)(every, other, 1.0, out)
    torch.testing.assert_close(
        out, (every.float() + other.float()).to(dtype), rtol=0, atol=0, equal_nan=True
    )


def test_numpy_arrays_that_run_backwards_are_taken_as_they_are(kernels: Kernels, isa: str) -> None:
    x = np.random.default_rng(0).standard_normal((6, 41)).astype(np.float32)
    out = np.empty_like(x)
    kernels.get("add", isa)(x[::-1, ::-1], x[:, ::-1], 1.0, out)
    np.testing.assert_array_equal(out, x[::-1, ::-1] + x[:, ::-1])
    kernels.get("rms_norm", isa)(x[::-1, ::-1], x[0, ::-1], 1e-6, out[::-1])
    backwards = x[::-1, ::-1].astype(np.float64)
    expected = backwards * rms(backwards, 1e-6) * x[0, ::-1]
    np.testing.assert_allclose(out[::-1], expected, rtol=4e-6, atol=4e-6)


def test_the_gradient_of_a_weight_stays_accurate_over_many_rows(kernels: Kernels, isa: str) -> None:
    rows = 20_000
    x, weight = torch.full((rows, 4), 0.1), torch.ones(4)
    grad = torch.full((rows, 4), 0.1)
    grad_x, grad_bias = torch.empty_like(x), torch.empty(4)
    kernels.get("bias_gelu_backward", isa)(grad, x, weight, "tanh", grad_x, grad_bias)
    expected = rows * grad_x[0].double()
    torch.testing.assert_close(grad_bias.double(), expected, rtol=1e-5, atol=0)


def test_kernels_refuse_what_would_read_outside_an_array(kernels: Kernels, isa: str) -> None:
    x, out = torch.ones(2, 3), torch.empty(2, 3)
    calls: list[tuple[str, tuple[object, ...], str]] = [
        ("add", (x, torch.ones(4), 1.0, out), "y must broadcast"),
        ("add", (x, x.double(), 1.0, out), "y must be f32"),
        ("rms_norm", (x, torch.ones(4), 1e-6, out), "n = |x.size|dimension 0"),
        ("rms_norm", (x, None, 1e-6, torch.empty(3, 3)), "out must have the shape of x"),
        ("bias_gelu", (x, torch.ones(3), "exact", out), "none or tanh"),
        ("softmax_cross_entropy", (x, torch.zeros(2), -100, torch.empty(2)), "target must be i64"),
    ]
    for op, arguments, problem in calls:
        with pytest.raises(OperatorArgumentError, match=problem):
            kernels.get(op, isa)(*arguments)


def test_a_better_instruction_set_has_a_higher_priority_and_every_operator_has_all(
    kernels: Kernels,
) -> None:
    found: dict[str, list[str]] = {}
    for op, isa, _ in sorted(kernels.rows, key=lambda row: row[2]):
        found.setdefault(op, []).append(isa)
    assert len(found) == 20
    plain, all_levels = [""], ["", "x86-64-v3", "x86-64-v4"]
    others = {
        "linear_int8": ["", "x86-64-v3", "avx512_vnni"],
        "linear_int4": ["", "x86-64-v3", "avx512_vnni"],
        "linear_bf16": [*all_levels, "avx512_bf16"],
        "rope": plain,  # memory is what they wait for
        "embedding": plain,
    }
    assert found == {op: others.get(op, all_levels) for op in found}
    assert all(priority < 0 for _, _, priority in kernels.rows)
