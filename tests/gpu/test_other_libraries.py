"""Operators on GPU arrays of CuPy and JAX, and kernels written in Triton."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.ops.registered import RegisteredOperator

    Define = Callable[..., RegisteredOperator]

KERNELS = Path(__file__).parent / "triton_kernels.py"


def library(name: str) -> Any:  # noqa: ANN401 - a module without types
    return pytest.importorskip(name, reason=f"{name} is not installed")


def module(path: Path) -> Any:  # noqa: ANN401 - as above
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = made
    spec.loader.exec_module(made)
    return made


def test_cupy_arrays_come_back_as_cupy_arrays() -> None:
    cupy = library("cupy")
    x = cupy.arange(12, dtype=cupy.float32).reshape(3, 4)
    out = ops.get("add")(x, x)
    assert isinstance(out, cupy.ndarray)
    np.testing.assert_array_equal(out.get(), (x + x).get())


def test_strided_cupy_arrays_are_read_in_place() -> None:
    cupy = library("cupy")
    x = cupy.arange(40, dtype=cupy.float32).reshape(5, 8)
    for view in (x.T, x[::2, 1::3]):
        np.testing.assert_array_equal(ops.get("mul")(view, view).get(), (view * view).get())


def test_cupy_work_under_way_is_waited_for() -> None:
    cupy = library("cupy")
    stream = cupy.cuda.Stream(non_blocking=True)
    x = cupy.zeros(1 << 22, dtype=cupy.float32)
    cupy.cuda.Device().synchronize()
    with stream:
        for _ in range(200):
            x += 1
        out = ops.get("add")(x, x)
        total = float(out.min())
    assert total == 400.0


WITH_JAX = """
import jax
import numpy
from openautoglm import ops

add = ops.get("add")
x = jax.numpy.arange(12, dtype=jax.numpy.float32).reshape(3, 4)
assert x.device.platform == "gpu"
out = add(x, x)
assert isinstance(out, jax.Array) and out.device == x.device
numpy.testing.assert_array_equal(numpy.asarray(out), numpy.asarray(x + x))
print(add.explain(x, x).winner)
"""


def test_jax_arrays_come_back_as_jax_arrays() -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    settings = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(
        [sys.executable, "-c", WITH_JAX],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cuda" in done.stdout, done.stderr


def test_arrays_of_several_libraries_on_one_gpu_go_together() -> None:
    cupy = library("cupy")
    x = cupy.ones(8, dtype=cupy.float32)
    y = torch.ones(8, device="cuda")
    out = ops.get("add")(x, y)
    assert float(out.sum()) == 16.0


def test_an_array_on_the_cpu_beside_one_on_the_gpu_is_refused() -> None:
    cupy = library("cupy")
    with pytest.raises(OperatorArgumentError):
        ops.get("add")(cupy.ones(4, dtype="f4"), np.ones(4, "f4"))


def test_a_triton_kernel_serves_calls_and_passes_its_check(define: Define) -> None:
    triton = library("triton")
    kernels = module(KERNELS)
    halved = define("halved(Tensor x, float by=2.0) -> Tensor", reference=lambda x, by: x / by)

    @halved.kernel(
        "triton",
        device="cuda",
        dtypes=("f32", "f16"),
        language="triton",
        contiguous=True,
        priority=5,
    )
    def launch(x: torch.Tensor, by: float, *, out: torch.Tensor) -> None:
        count = x.numel()
        if count:
            kernels.divide[(triton.cdiv(count, 1024),)](x, out, count, by, BLOCK=1024)

    x = torch.randn(33, 77, device="cuda")
    assert torch.equal(halved(x, by=4.0), x / 4.0)
    assert halved.explain(x).winner == "triton"
    assert torch.equal(halved(x.t()), x.t() / 2.0)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(lambda t: halved(t) + 1, fullgraph=True)(x), x / 2.0 + 1)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)
        x.fill_(8.0)
        out = halved(x)
    stream.synchronize()
    assert torch.equal(out, torch.full_like(x, 4.0))
    report = ops.check(halved, kernels="triton", grad=False, dtypes=["f32", "f16"])
    assert report.ok, str(report)
