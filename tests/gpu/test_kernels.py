"""The built-in CUDA kernels: found, chosen, right, on the stream of their tensors."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError
from openautoglm.ops.library.definitions import DEFINITIONS
from openautoglm.ops.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = tuple(opdef.name for opdef in DEFINITIONS if "f64" in opdef.inputs[0].dtypes)
"""Those with kernels for GPUs."""
LONG = 200_000_000  # cycles that a stream is kept busy, about 0.1 s


def arguments(name: str, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    """Return what one of the six operators takes, on the GPU."""
    x = torch.randn(37, 300, device="cuda", dtype=dtype)
    if name == "rms_norm":
        return x, torch.randn(300, device="cuda", dtype=dtype)
    if name == "bias_gelu":
        return x, torch.randn(300, device="cuda", dtype=dtype)
    if name == "softmax_cross_entropy":
        return x, torch.randint(300, (37,), device="cuda")
    return (x, torch.randn_like(x), *((2.0,) if name == "scale_add" else ()))


SIX = ("add", "mul", "scale_add", "bias_gelu", "rms_norm", "softmax_cross_entropy")


def on_cpu(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.cpu() if isinstance(value, torch.Tensor) else value for value in values)


def test_the_machine_has_the_gpus_that_torch_finds() -> None:
    count = torch.cuda.device_count()
    assert machine().cuda == tuple(torch.cuda.get_device_capability(i) for i in range(count))


@pytest.mark.parametrize("name", NAMES)
def test_a_check_finds_nothing_wrong_with_the_cuda_kernels(name: str, cuda_kernels: str) -> None:
    report = ops.check(name, kernels=cuda_kernels, grad=False)
    asked = [row for row in report.rows if "cuda" in row.subject]
    assert report.ok, str(report)
    assert {row.row for row in asked if row.status == "pass"} >= {"survives", "values", "strides"}


@pytest.mark.parametrize("name", SIX)
def test_an_ordinary_call_is_served_by_a_cuda_kernel(name: str, cuda_kernels: str) -> None:
    op = ops.get(name)
    inputs = arguments(name)
    served = {k.name for k in op.table.kernels if k.library == cuda_kernels}
    before = op.counts()
    out = op(*inputs)
    counts = op.counts()
    assert sum(counts[k] - before.get(k, 0) for k in served & counts.keys()) == 1
    assert op.explain(*inputs).winner in served
    torch.testing.assert_close(out.cpu(), op(*on_cpu(inputs)), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", SIX)
def test_every_float_dtype_gives_what_float64_on_the_cpu_gives(
    name: str, dtype: torch.dtype
) -> None:
    op = ops.get(name)
    inputs = arguments(name, dtype)
    wide = tuple(
        v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
        for v in on_cpu(inputs)
    )
    bound = {torch.float16: 4e-3, torch.bfloat16: 3e-2, torch.float64: 1e-10}[dtype]
    got = op(*inputs)
    torch.testing.assert_close(got.double().cpu(), op(*wide).double(), rtol=bound, atol=bound)


def test_a_kernel_runs_on_the_stream_that_is_current() -> None:
    add = ops.get("add")
    x = torch.zeros(1 << 20, device="cuda")
    add(x, x)  # everything lazy is done
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(LONG)
        x.fill_(3.0)
        late = add(x, x)
    early = add(x, x)  # the default stream waits for nothing: it reads the zeros
    is_still_asleep = not stream.query()
    torch.cuda.synchronize()
    assert is_still_asleep
    assert torch.equal(late, torch.full_like(x, 6.0))
    assert torch.equal(early, torch.zeros_like(x))


def test_threads_with_streams_of_their_own_get_their_own_answers() -> None:
    rms_norm = ops.get("rms_norm")
    wrong: list[int] = []

    def work(number: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            x = torch.full((64, 1024), float(number), device="cuda")
            weight = torch.full((1024,), float(number), device="cuda")
            for _ in range(200):
                out = rms_norm(x, weight)
                if not bool((out - number).abs().max() < 1e-3):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", SIX)
def test_gradients_are_those_of_the_cpu(name: str) -> None:
    op = ops.get(name)
    found = []
    inputs = arguments(name)
    for values in (inputs, on_cpu(inputs)):
        leaves = [
            v.clone().requires_grad_()
            if isinstance(v, torch.Tensor) and v.is_floating_point()
            else v
            for v in values
        ]
        op(*leaves).square().sum().backward()
        found.append(
            [
                v.grad.cpu()
                for v in leaves
                if isinstance(v, torch.Tensor) and v.is_leaf and v.grad is not None
            ]
        )
    assert found[0]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", SIX)
def test_compiled_code_gives_what_eager_code_gives(name: str) -> None:
    op = ops.get(name)
    inputs = arguments(name)
    torch._dynamo.reset()
    graph: Callable[..., torch.Tensor] = torch.compile(lambda *a: op(*a) * 2, fullgraph=True)
    torch.testing.assert_close(graph(*inputs), op(*inputs) * 2)


def test_autocast_on_the_gpu_follows_the_policies() -> None:
    half = torch.randn(4, 8, device="cuda", dtype=torch.float16)
    target = torch.zeros(4, device="cuda", dtype=torch.long)
    with torch.autocast("cuda", torch.float16):
        assert ops.get("softmax_cross_entropy")(half, target).dtype == torch.float32
        assert ops.get("add")(half, half.float()).dtype == torch.float32
        assert ops.get("add")(half, half).dtype == torch.float16


def test_views_of_any_strides_are_read_in_place() -> None:
    base = torch.randn(128, 96, device="cuda")
    add = ops.get("add")
    for view in (base.t(), base[::2, ::3], base[:1].expand(5, 96), base[:, :0]):
        assert torch.equal(add(view, view), view + view)


def test_tensors_on_different_devices_are_refused_by_name() -> None:
    x = torch.ones(4, device="cuda")
    with pytest.raises(OperatorArgumentError, match="move one of them"):
        ops.get("add")(x, x.cpu())
