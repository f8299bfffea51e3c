from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from openautoglm import ops
from openautoglm.errors import (
    KernelFailedError,
    OperatorArgumentError,
    TransformUnsupportedError,
)
from openautoglm.native import cells
from openautoglm.ops.torch_bridge import failures, slots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NATIVE = pytest.mark.skipif(cells.unavailable() is not None, reason="there is no compiled core")

MANY = """
import torch
from openautoglm import ops
from openautoglm.ops.torch_bridge import slots
from openautoglm.registry import owned_by
x = torch.ones(2, requires_grad=True)
with owned_by("many"):
    for number in range(270):  # two slots each, of 512
        op = ops.define(f"op_{number}", inputs=[ops.In("x")], attrs=[ops.Attr("by", float, 1.0)],
                        reference=lambda x, by: x * by)
        op.backward()(lambda g, by: g * by)
        out = op(x, by=float(number))
        assert out.tolist() == [number] * 2, out
last = torch.compile(op, backend="aot_eager", fullgraph=True)(x, by=2.0)
assert torch.autograd.grad(last.sum(), x)[0].tolist() == [2.0, 2.0]
left = ops.get("add").table.cell
assert left is not None and not left.bind_torch(
    namespace="oag", name="one_more", schema="(Tensor x) -> Tensor", slow="oag::_slow_op_1")
print("ok")
"""

STALE = """
import sys, torch
from openautoglm import ops
from openautoglm.registry import owned_by
by = float(sys.argv[1])
with owned_by("stale"):
    op = ops.define("stale", inputs=[ops.In("x")], reference=lambda x: x * 1)
op.backward()(lambda g, by=by: g * by)
x = torch.ones(2, requires_grad=True)
torch.compile(lambda x: op(x), fullgraph=True)(x).sum().backward()
from torch._dynamo.utils import counters
print(x.grad.tolist(), dict(counters["aot_autograd"]))
"""

MEMORY = """
import ctypes, gc, torch
from openautoglm import ops
from openautoglm.registry import owned_by
from contextlib import suppress
class Heap(ctypes.Structure):  # of glibc: its fifth field is mapped, its eighth in use
    _fields_ = [(f"field_{i}", ctypes.c_size_t) for i in range(10)]
heap = ctypes.CDLL(None).mallinfo2
heap.restype = Heap
def size():  # what is in use: torch itself keeps a text of each slow call, which scatters the rest
    gc.collect()
    now = heap()
    return now.field_4 + now.field_7
with owned_by("memory"):
    op = ops.define("held", inputs=[ops.In("x"), ops.In("b", optional=True)],
        attrs=[ops.Attr("text", str, "")], outputs=[ops.Out("y", like="x")],
        reference=lambda x, b, text: x if b is None else x + b)
    listed = ops.define("listed", inputs=[ops.In("xs", many=True)], reference=lambda xs: xs[0] * 2)
    wrong = ops.define("wrong", inputs=[ops.In("x")], reference=lambda x: 1 / 0)
norm = ops.get("rms_norm")
x, w = torch.ones(64, 64), torch.ones(64)
def calls(count):
    for _ in range(count):
        op(x, x, "a text that is longer than a short one"); op(x, None, "b" * 40)
        listed([x, x]); norm(x, w); norm(x)
        with suppress(Exception): wrong(x)
        with suppress(Exception): norm(x, x)
calls(300)
before = size()
calls(1500)
print(size() - before)
"""


def child(text: str, *arguments: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@NATIVE
def test_more_operators_than_slots_go_on_in_python() -> None:
    assert child(MANY) == "ok"


@pytest.mark.parametrize("native", ["1", "0"])
def test_calls_with_lists_texts_absent_inputs_and_errors_keep_no_memory(native: str) -> None:
    grown = int(child(MEMORY, OPENAUTOGLM_NATIVE=native))
    assert grown < 8 << 20  # one tensor kept by each call would be 24 MB


@pytest.mark.slow
def test_a_graph_in_the_disk_cache_with_another_gradient_is_not_used(tmp_path: Path) -> None:
    cache = str(tmp_path / "inductor")
    found = [child(STALE, by, TORCHINDUCTOR_CACHE_DIR=cache) for by in ("2", "7")]
    assert [text.partition(" {")[0] for text in found] == ["[2.0, 2.0]", "[7.0, 7.0]"]
    assert "'autograd_cache_saved': 1" in found[0]  # there was one to be mistaken for
    assert "autograd_cache_hit" not in found[1]


@pytest.mark.usefixtures("owned")
def test_a_name_in_torch_is_never_used_twice() -> None:
    def make(by: float) -> ops.RegisteredOperator:
        op = ops.define("renewed", inputs=[ops.In("x")], reference=lambda x: x * by)
        op(torch.ones(1))
        return op

    before, made = set(slots._taken), []
    for by in (2.0, 3.0, 3.0):
        made.append(make(by))
        ops.remove("renewed")
    assert len(slots._taken - before) == 9  # public, raw and slow of each
    assert [op(torch.ones(1)).item() for op in made] == [2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("text", "error", "problem", "got"),
    [
        (
            "[OAG204] a kernel of `f` failed\n  got: OperatorArgumentError: too long\n  got: 7",
            OperatorArgumentError,
            "too long",
            "7",
        ),
        (
            "[OAG204] a kernel of `f` failed\n  got: OperatorArgumentError: too\nlong",
            OperatorArgumentError,
            "too\nlong",
            None,
        ),
        (
            "[OAG204] a kernel of `f` failed\n  got: KernelFailedError: no memory",
            KernelFailedError,
            "no memory",
            None,
        ),
        (
            "[OAG204] a kernel of `f` failed\n  got: ValueError: what",
            KernelFailedError,
            "a kernel of `f` failed",
            "ValueError: what",
        ),
        (
            "Could not run 'oag::_f' with arguments from the 'SparseCPU' backend. This",
            OperatorArgumentError,
            "`f` takes dense tensors",
            "a tensor of torch's backend SparseCPU",
        ),
        (
            "Batching rule not implemented for oag::f. We could",
            TransformUnsupportedError,
            "list of arrays",
            "vmap over `f`",
        ),
    ],
)
def test_failures_of_torch_are_read_back_into_our_errors(
    text: str, error: type[Exception], problem: str, got: str | None
) -> None:
    failure = RuntimeError(text)
    found = failures.read(failure)
    assert type(found) is error
    assert problem in str(found)
    assert getattr(found, "got", None) == got
    assert found.__cause__ is failure


def test_other_failures_stay_as_they_came() -> None:
    failure = RuntimeError("CUDA out of memory")
    assert failures.read(failure) is failure


@NATIVE
def test_views_with_strides_reach_a_native_kernel_without_python(
    build_tagged: Callable[..., Path],
) -> None:
    library = ops.load_library(build_tagged(1), name="tagged")
    try:
        tagged, base = ops.get("tagged"), torch.arange(12.0).reshape(3, 4)
        seen: list[ops.KernelRun] = []
        with ops.watching(seen.append):
            for view in (base.T, base[:, ::2], base[0].expand(2, 4), base.requires_grad_().T):
                assert torch.equal(tagged(view), view + 1)
        assert seen == []  # none of them went through Python
        assert tagged.counts() == {"tagged": 4}
    finally:
        library.unload()
