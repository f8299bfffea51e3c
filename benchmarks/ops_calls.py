"""What a call of an operator costs beyond its arithmetic: 16 numbers added in every way."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

import call_costs as cost
from call_costs import BOTH, COMPILED, CUSTOM, CUSTOM_GRAD, GIVEN, NEW, RECORDED, TORCH, Case
from operators import kernel_of, native_add, need_core, torch_extension
from timing import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

N = 16
OURS, EXTENSION = "ours: operator", "C++ TORCH_LIBRARY operator"


class Arrays:
    """The arrays of all cases, on one device, and torch's own operators around our kernel."""

    def __init__(self, device: str) -> None:
        self.x, self.y = torch.randn(N, device=device), torch.randn(N, device=device)
        self.out = torch.empty_like(self.x)
        self.leaf = self.x.clone().requires_grad_()
        self.ones = torch.ones_like(self.x)
        self.kernel = kernel_of(native_add(device), self.x, self.y)
        self.custom, self.custom_grad, self.custom_out = custom_ops(self.kernel)

    def check(self, case: Case) -> None:
        """End the program if a case does not add."""
        wanted = self.ones if case.group == BOTH else self.x + self.y
        self.out.zero_()
        returned = case.function(*case.args)
        got = self.out if case.group == GIVEN else returned
        shown = torch.as_tensor(got[0] if isinstance(got, tuple) else got)
        if not torch.allclose(shown.detach(), wanted):
            raise SystemExit(f"`{case.name}` ({case.group}) does not add")


def custom_ops(kernel: Callable[..., object]) -> tuple[Callable[..., torch.Tensor], ...]:
    """Return the operators that `torch.library.custom_op` makes of a kernel."""

    def made(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        kernel(x, y, 1.0, out)
        return out

    def given(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor) -> None:
        kernel(x, y, 1.0, out)

    for function in (made, given):  # torch reads the signature, and no annotation as text
        function.__annotations__ = dict.fromkeys(function.__annotations__, torch.Tensor)
    made.__annotations__["return"], given.__annotations__["return"] = torch.Tensor, None
    plain = torch.library.custom_op("oag_benchmark_python::add", made, mutates_args=())
    graded = torch.library.custom_op("oag_benchmark_python::add_graded", made, mutates_args=())
    graded.register_autograd(lambda _, grad: (grad, grad))
    for operator in (plain, graded):
        operator.register_fake(lambda x, _: torch.empty_like(x))
    out = torch.library.custom_op("oag_benchmark_python::add_out", given, mutates_args=("out",))
    return plain, graded, out


def cases(arrays: Arrays, device: str) -> Iterator[Case]:
    """Yield the cases that any device has."""
    add, x, y, out = native_add(device), arrays.x, arrays.y, arrays.out
    aims = ((1.5, NEW, TORCH), (1 / 6, NEW, CUSTOM))
    half = ((0.5, NEW, TORCH),)

    def allocating() -> torch.Tensor:
        made = torch.empty_like(x)
        arrays.kernel(x, y, 1.0, made)
        return made

    yield Case(NEW, TORCH, torch.add, (x, y))
    yield Case(NEW, OURS, add, (x, y), aims)
    raw = getattr(torch.ops.oag, f"_{add.name}").default._op  # noqa: SLF001 - what the operator calls
    front = partial(type(add).__call__, add)  # what calls that are not plain go through
    yield Case(NEW, "ours: operator, by Python code", front, (x, y))
    yield Case(NEW, "ours: the torch operator below it", raw, (x, y))
    yield Case(NEW, "torch.empty_like, kernel by tvm-ffi", allocating)
    yield Case(NEW, CUSTOM, arrays.custom, (x, y))
    yield Case(NEW, CUSTOM_GRAD, arrays.custom_grad, (x, y))
    yield Case(GIVEN, "torch.add(out=)", partial(torch.add, out=out), (x, y))
    yield Case(GIVEN, "ours: door, tensors", add.door, (x, y, 1.0, out), half)
    yield Case(GIVEN, "kernel by tvm-ffi, tensors", arrays.kernel, (x, y, 1.0, out))
    yield Case(GIVEN, CUSTOM, arrays.custom_out, (x, y, out))
    yield from with_gradient(TORCH, torch.add, arrays)
    yield from with_gradient(OURS, add, arrays)
    yield from with_gradient(CUSTOM_GRAD, arrays.custom_grad, arrays)


def with_gradient(name: str, add: Callable[..., torch.Tensor], arrays: Arrays) -> Iterator[Case]:
    """Yield one way when a gradient is recorded, and when it is also taken."""

    def both(leaf: torch.Tensor, y: torch.Tensor, ones: torch.Tensor) -> object:
        return torch.autograd.grad(add(leaf, y), leaf, ones)

    aims = ((0.45, RECORDED, CUSTOM_GRAD),) if name == OURS else ()
    yield Case(RECORDED, name, add, (arrays.leaf, arrays.y), aims)
    yield Case(BOTH, name, both, (arrays.leaf, arrays.y, arrays.ones))


def cpu_cases(arrays: Arrays) -> Iterator[Case]:
    """Yield the cases on NumPy arrays."""
    add = native_add()
    a, b, c = arrays.x.numpy(), arrays.y.numpy(), arrays.out.numpy()
    half = ((0.5, NEW, TORCH),)
    yield Case(NEW, "ours: operator, NumPy arrays", add, (a, b))
    yield Case(NEW, "numpy.add", np.add, (a, b))
    yield Case(GIVEN, "ours: door, NumPy arrays", add.door, (a, b, 1.0, c), half)
    yield Case(GIVEN, "kernel by tvm-ffi, NumPy arrays", arrays.kernel, (a, b, 1.0, c))
    yield Case(GIVEN, "numpy.add(out=)", partial(np.add, out=c), (a, b))


def extension_cases(arrays: Arrays) -> Iterator[Case]:
    """Yield the cases that a C++ compiler makes: a C++ extension of torch, and plain C.

    Raises:
        LookupError: there is no compiler that does.
    """
    path = str(torch_extension())
    torch.ops.load_library(path)
    made = torch.ops.oag_benchmark
    x, y, out = arrays.x, arrays.y, arrays.out
    torch.library.register_fake("oag_benchmark::add", lambda x, _: torch.empty_like(x))
    yield Case(NEW, EXTENSION, made.add.default, (x, y))
    yield Case(GIVEN, EXTENSION, made.add_out.default, (x, y, out))
    plain = ctypes.CDLL(path).plain_add
    plain.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64]
    plain.restype = None

    def by_ctypes(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor) -> None:
        plain(x.data_ptr(), y.data_ptr(), out.data_ptr(), N)

    yield Case(GIVEN, "ctypes, three data_ptr()", by_ctypes, (x, y, out))
    yield from with_gradient(
        f"{EXTENSION}, autograd::Function", made.add_with_gradient.default, arrays
    )


def compiled(name: str, add: Callable[..., torch.Tensor], arrays: Arrays) -> Case:
    """Return one way as the only call of a compiled function."""

    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return add(x, y)

    ready = torch.compile(function, fullgraph=True)
    ready(arrays.x, arrays.y)
    return Case(COMPILED, name, ready, (arrays.x, arrays.y))


def all_cases(arrays: Arrays, device: str) -> tuple[list[Case], list[str]]:
    """Return all cases this machine has, grouped, and what is left out and why."""
    native_add(device)(arrays.x, arrays.y)  # makes the torch operators
    found, left_out = list(cases(arrays, device)), []
    if device == "cpu":
        found += cpu_cases(arrays)
        try:
            found += extension_cases(arrays)
        except LookupError as reason:
            left_out.append(f"{EXTENSION} and ctypes: {reason}")
    ways = [(TORCH, torch.add), (OURS, native_add(device)), (CUSTOM, arrays.custom)]
    if device == "cpu" and not left_out:
        ways.append((EXTENSION, torch.ops.oag_benchmark.add.default))
    try:
        found += [compiled(name, add, arrays) for name, add in ways]
    except RuntimeError as reason:  # inductor's errors are; without a compiler it has one
        left_out.append(f"torch.compile: {str(reason).splitlines()[0]}")
    for case in found:
        arrays.check(case)
    order = (NEW, GIVEN, RECORDED, BOTH, COMPILED)
    return sorted(found, key=lambda case: order.index(case.group)), left_out


def notes(device: str, left_out: list[str]) -> str:
    """Say what the figures are."""
    count = (
        f"{cost.ROUNDS} interleaved rounds of {cost.SAMPLES} samples of up to {cost.CALLS} calls"
    )
    return (
        f"`{native_add(device).name}` of {N} f32 on {device}, {count}, one thread; the loop around "
        "the calls, about 30 ns, is in. Factors are medians of each round's; to torch.add and "
        "custom_op doing the same, where an output is given to those that make one."
        + "".join(f" Left out: {reason}." for reason in left_out)
    )


def main() -> None:
    """Measure and report, or say why not."""
    need_core()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    arrays = Arrays("cpu")
    found, left_out = all_cases(arrays, "cpu")
    rows = cost.table(found, cost.costs(found))
    report("A call of an operator", rows, notes=notes("cpu", left_out))


if __name__ == "__main__":
    main()
