"""The contracts of the built-in operators: references, gradients, autocast, whatever the kernel."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from openautoglm import ops
from openautoglm.ops.library.definitions import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.ops.opdef import OpDef

OF_ANY_FLOAT = [opdef for opdef in DEFINITIONS if "f64" in opdef.inputs[0].dtypes]
TARGET = [1, -100, 9, 0, 2, 4]
ROUNDING = {"float16": 2e-3, "float32": 2e-6, "float64": 1e-14}


def arguments_of(opdef: OpDef, dtype: str, rows: int = 6, size: int = 5) -> list[Any]:
    """Return NumPy arrays and attributes that the operator takes."""
    draw = np.random.default_rng(len(opdef.name)).standard_normal
    inputs = {
        "target": np.array(TARGET[:rows], np.int64),
        "weight": draw(size).astype(dtype),
        "bias": draw(size).astype(dtype),
        "grad": draw(rows).astype(dtype),
    }
    if opdef.name != "softmax_cross_entropy_backward":
        del inputs["grad"]
    arrays = [inputs.get(part.name, draw((rows, size)).astype(dtype)) for part in opdef.inputs]
    return [*arrays, *(attr.default for attr in opdef.attrs)]


def outputs_of(result: Any) -> tuple[Any, ...]:  # noqa: ANN401 - what a reference returns
    return result if isinstance(result, tuple) else (result,)


def as_torch(values: list[Any]) -> list[Any]:
    return [torch.from_numpy(v) if isinstance(v, np.ndarray) else v for v in values]


@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize("opdef", OF_ANY_FLOAT, ids=lambda opdef: opdef.name)
def test_a_reference_is_the_same_for_numpy_and_torch(opdef: OpDef, dtype: str) -> None:
    assert opdef.reference is not None
    for rows, size in ((6, 5), (1, 1), (0, 5), (3, 0)):
        given = arguments_of(opdef, dtype, rows, size)
        ours = outputs_of(opdef.reference(*given))
        theirs = outputs_of(opdef.reference(*as_torch(given)))
        for array, tensor in zip(ours, theirs, strict=True):
            assert array.dtype == np.dtype(dtype)
            assert tensor.dtype == getattr(torch, dtype)
            tolerance = ROUNDING[dtype]
            np.testing.assert_allclose(array, tensor.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("opdef", OF_ANY_FLOAT, ids=lambda opdef: opdef.name)
def test_a_call_agrees_with_the_reference_in_every_library(opdef: OpDef) -> None:
    assert opdef.reference is not None
    operator = ops.get(opdef.name)
    for dtype, tolerance in (("float32", 4e-6), ("float64", 1e-13), ("float16", 4e-3)):
        given = arguments_of(opdef, dtype)
        expected = outputs_of(opdef.reference(*given))
        for found in (operator(*given), operator(*as_torch(given))):
            for array, wanted in zip(outputs_of(found), expected, strict=True):
                np.testing.assert_allclose(array, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_what_torch_computes(approximate: str) -> None:
    x = torch.linspace(-8, 8, 999, dtype=torch.float64)[None]
    zero = torch.zeros(999, dtype=torch.float64)
    expected = torch.nn.functional.gelu(x, approximate=approximate)
    found = ops.get("bias_gelu")(x, zero, approximate)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-15)


def test_rms_norm_and_cross_entropy_are_what_torch_computes() -> None:
    x = torch.randn(2, 3, 7, dtype=torch.float64)
    weight = torch.randn(7, dtype=torch.float64)
    expected = torch.nn.functional.rms_norm(x, (7,), weight, 1e-5)
    torch.testing.assert_close(ops.get("rms_norm")(x, weight, 1e-5), expected)
    target = torch.tensor([3, -100])
    losses = torch.nn.functional.cross_entropy(x[0, :2], target, reduction="none")
    torch.testing.assert_close(ops.get("softmax_cross_entropy")(x[0, :2], target), losses)


def _differentiable() -> list[tuple[str, tuple[tuple[int, ...], ...], Callable[..., Any]]]:
    get, rows = ops.get, (3, 5)
    target = torch.tensor([1, -100, 4])
    return [
        ("add", (rows, (5,)), lambda x, y: get("add")(x, y, 0.5)),
        ("add, one value", ((1, 5), (3, 1)), lambda x, y: get("add")(x, y, 0.5)),
        ("mul", (rows, (3, 1)), lambda x, y: get("mul")(x, y, 0.5)),
        ("scale_add", (rows, rows), lambda x, y: get("scale_add")(x, y, 0.5)),
        ("rms_norm", (rows, (5,)), get("rms_norm")),
        ("rms_norm of more axes", ((2, 2, 3), (3,)), get("rms_norm")),
        ("rms_norm without weight", (rows,), get("rms_norm")),
        ("bias_gelu", (rows, (5,)), get("bias_gelu")),
        ("bias_gelu by tanh", (rows, (5,)), lambda x, b: get("bias_gelu")(x, b, "tanh")),
        ("cross entropy", (rows,), lambda x: get("softmax_cross_entropy")(x, target)),
        (
            "rms_norm_backward",
            (rows, rows, (5,)),
            get("rms_norm_backward"),
        ),
        (
            "bias_gelu_backward",
            (rows, rows, (5,)),
            get("bias_gelu_backward"),
        ),
        (
            "softmax_cross_entropy_backward",
            ((3,), rows),
            lambda g, x: get("softmax_cross_entropy_backward")(g, x, target),
        ),
    ]


@pytest.mark.parametrize("position", range(13))
def test_first_and_second_derivatives_are_right(position: int) -> None:
    _, shapes, function = _differentiable()[position]
    torch.manual_seed(position)
    inputs = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_gelu_has_the_right_slope_at_zero() -> None:
    x = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    result = ops.get("bias_gelu")(x, torch.zeros(3, dtype=torch.float64))
    (slope,) = torch.autograd.grad(result.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert slope.tolist() == [[0.5, 0.5, 0.5]]
    torch.testing.assert_close(curvature, torch.full_like(x, math.sqrt(2 / math.pi)))


def test_autocast_computes_norms_and_losses_in_f32_and_promotes_the_rest() -> None:
    half, single = torch.ones(2, 4, dtype=torch.bfloat16), torch.ones(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        norm = ops.get("rms_norm")(half, half[0])
        loss = ops.get("softmax_cross_entropy")(half, torch.tensor([0, 1]))
        kept = ops.get("mul")(half, half)
        promoted = ops.get("add")(half, single)
    assert [t.dtype for t in (norm, loss, promoted)] == [torch.float32] * 3
    assert kept.dtype == torch.bfloat16


def test_numpy_calls_do_not_bring_in_torch() -> None:
    program = (
        "import sys, numpy; from openautoglm import ops; x = numpy.ones((2, 3), 'f4');"
        "ops.get('rms_norm')(x, x[0]); ops.get('bias_gelu')(x, x[0]);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
