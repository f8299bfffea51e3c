"""What brought a process down, or gave wrong results in silence, when operators were tried out."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from openautoglm.native import cells

if TYPE_CHECKING:
    from pathlib import Path

NATIVE = pytest.mark.skipif(cells.unavailable() is not None, reason="there is no compiled core")

BEGIN: Final = """
import gc, sys, threading, warnings
import numpy as np, torch
from openautoglm import ops
from openautoglm.errors import *
from openautoglm.registry import owned_by
def refused(function, *arguments, **more):
    try:
        function(*arguments, **more)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("it went through")
x = torch.ones(2, 3)
add = ops.get("add")
"""

TRAPS: Final = {
    "a fake tensor at the native door": """
from torch._subclasses import FakeTensorMode
with FakeTensorMode(): fake = torch.empty(3)
warnings.simplefilter("ignore")
real = torch.empty(3)
for inputs in [(fake, fake, 1.0, real), (real, fake, 1.0, real), (real, real, 1.0, fake)]:
    assert "OAG201" in refused(add.door, *inputs)
""",
    "a fake tensor where numpy arrays went before": """
from torch._subclasses import FakeTensorMode
add(np.ones(3), np.ones(3))
with FakeTensorMode():
    out = add(torch.empty(3), torch.empty(3))
assert type(out).__name__ == "FakeTensor"
""",
    "numpy arrays that run backwards, beside tensors": """
back = np.arange(6, dtype="f4").reshape(2, 3)[::-1, ::-1]
assert torch.equal(add(x, back), torch.tensor(back.copy()) + 1)
assert torch.equal(add(back, x), torch.tensor(back.copy()) + 1)
""",
    "an operator removed under those that hold it": """
with owned_by("t"):
    op = ops.define("gone", inputs=[ops.In("x")], reference=lambda x: x * 2)
graph = torch.compile(op, backend="eager", fullgraph=True)
assert torch.equal(graph(x), x * 2)
held = torch.ops.oag.gone.default
ops.remove("gone")
gc.collect()
assert torch.equal(op(x), x * 2) and torch.equal(graph(x), x * 2) and torch.equal(held(x), x * 2)
with owned_by("t"):
    again = ops.define("gone", inputs=[ops.In("x")], reference=lambda x: x * 3)
assert torch.equal(again(x), x * 3) and torch.equal(graph(x), x * 2) and torch.equal(held(x), x * 2)
""",
    "thousands of tables of one operator": """
with owned_by("t"):
    op = ops.define("busy", inputs=[ops.In("x")], reference=lambda x: x)
for number in range(2000):
    op.kernel("next", priority=1)(lambda x, *, out, n=number: out.fill_(n))
    if number % 100 == 0: assert op(x)[0, 0].item() == number
    op.table.remove("next")
assert torch.equal(op(x), x)
""",
    "kernels that write where they may not, or nowhere": """
with owned_by("t"):
    op = ops.define("short", inputs=[ops.In("x")])
op.kernel("returns")(lambda x, *, out: x.new_zeros(1))
assert "returned a result of its own" in refused(op, x)
op.table.remove("returns")
op.kernel("wider")(lambda x, *, out: out.copy_(torch.ones(9, 9)))
assert "KernelFailedError" in refused(op, x)
""",
    "shapes too large to be": """
huge = torch.empty((), dtype=torch.float32).expand(2**31, 2**31)
assert refused(add, huge, huge)
assert torch.equal(add(x, x), x + x)
""",
    "gradients that are views of one number": """
norm = ops.get("rms_norm")
y = torch.randn(4, 8, requires_grad=True)
norm(y, torch.ones(8, requires_grad=True)).sum().backward()
z = y.detach().clone().requires_grad_()
torch.nn.functional.rms_norm(z, (8,), eps=1e-6).sum().backward()
torch.testing.assert_close(y.grad, z.grad)
""",
    "graphs of another thread": """
graph = torch.compile(lambda a: add(a, a), backend="eager", fullgraph=True)
graph(x)
found = []
def run():
    for _ in range(50): found.append(torch.equal(graph(x), x * 2))
threads = [threading.Thread(target=run) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(50):
    with add.prefer("reference"): assert torch.equal(graph(x), x * 2)
for thread in threads: thread.join()
assert found == [True] * 150
""",
    "a backward in another thread, with errors": """
def refuse(g): raise LookupError("lost")
with owned_by("t"):
    op = ops.define("lost", inputs=[ops.In("x")], reference=lambda x: x * 1)
op.backward()(refuse)
found = []
y = x.clone().requires_grad_()
thread = threading.Thread(target=lambda: found.append(refused(op(y).sum().backward)))
thread.start(); thread.join()
assert "backward of `lost` failed" in found[0] and "LookupError: lost" in found[0], found
""",
    "a function of Python behind the C ABI": """
import tvm_ffi
with owned_by("t"):
    op = ops.define("handed", inputs=[ops.In("x")])
def fill(given, out): torch.from_dlpack(out).copy_(torch.from_dlpack(given))
op.kernel("python", device="cpu", language="cpp")(tvm_ffi.convert(fill))
for _ in range(2):
    assert torch.equal(op(x), x) and np.array_equal(op(x.numpy()), x.numpy())
assert op.counts() == {"python": 4}
""",
    "torch taken apart as at the end of a process": """
add(x, x)
level = torch.autograd.forward_ad._current_level
torch.autograd.forward_ad._current_level = None
outcome = refused(add, x, x)
torch.autograd.forward_ad._current_level = level
assert outcome.startswith("TypeError"), outcome
assert torch.equal(add(x, x), x + x)
""",
    "a tensor subclass that is not one of torch's": """
class Odd(torch.Tensor):
    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
    def __init__(self, inner): self.inner = inner
    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        plain = [a.inner if isinstance(a, Odd) else a for a in args]
        return Odd(func(*plain, **(kwargs or {})))
out = add(Odd(x), x)
assert type(out) is Odd and torch.equal(out.inner, x * 2)
""",
}


RUN: Final = """
for name, text in TRAPS.items():
    if "door" in name and add.table.cell is None:
        continue
    try:
        exec(text, dict(globals()))
        print("closed:", name, flush=True)
    except Exception as error:
        print(f"open: {name}: {type(error).__name__}: {error}", flush=True)
"""


@pytest.fixture(scope="session")
def outcome() -> str:
    """What a process printed that went into all traps, one after the other."""
    program = f"TRAPS = {TRAPS!r}\n{BEGIN}\n{RUN}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    return f"{done.stdout}\nended with {done.returncode}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_of_the_past_is_closed(outcome: str, trap: str) -> None:
    if "door" in trap and cells.unavailable() is not None:
        pytest.skip("there is no compiled core")
    assert f"closed: {trap}" in outcome.splitlines(), outcome


@NATIVE
def test_outputs_outlive_the_library_that_filled_them() -> None:
    from openautoglm import ops
    from openautoglm.native import trial

    library = ops.load_library("plugins/ops/plain-c")
    result = ops.get("negate")(np.ones(4, "f4"))
    path: Path = library.path
    library.unload()
    gc.collect()
    assert not trial.is_mapped(path)
    assert result.tolist() == [-1.0] * 4


@NATIVE
def test_an_operator_that_was_revoked_does_not_keep_its_library() -> None:
    from openautoglm import ops
    from openautoglm.native import trial

    library = ops.load_library("plugins/ops/plain-c")
    path, held = library.path, ops.get("negate")
    ops.OPERATORS.revoke("library:plain-c")
    library.unload()
    gc.collect()
    assert not trial.is_mapped(path)
    assert held.table.kernels == ()
