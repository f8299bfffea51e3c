"""How near operators come to the memory's speed, by size, beside torch eager and torch.compile."""

from __future__ import annotations

import ctypes
import statistics
import time
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from openautoglm import ops
from operators import has_kernel, native_add, need_core
from timing import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from timing import Cell

    Inputs = tuple[torch.Tensor, ...]
    Way = Callable[..., torch.Tensor]

ROUNDS = 21
SAMPLE_S = 5e-4  # at least
ROW = 1024
SIZES = {"1 KiB": 2**10, "16 KiB": 2**14, "256 KiB": 2**18, "4 MiB": 2**22, "64 MiB": 2**26}
F32 = 4  # bytes
KEEP_HEAP, NO_MMAP = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of mallopt(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An operator, torch's way to the same, and what both must read and write.

    Attributes:
        operator: ours, or None where it has no native kernel.
        eager: the same in torch.
        more: inputs after x, for x.
        passes: how often as many bytes as x has are moved, at the least.
    """

    operator: Way | None
    eager: Way
    more: Callable[[torch.Tensor], Inputs]
    passes: int


def subjects(device: str) -> dict[str, Subject]:
    """Return what is measured, by name."""

    def ours(name: str) -> Way | None:
        operator = native_add(device) if name == "add" else ops.get(name)
        return operator if has_kernel(operator, device) else None

    return {
        "add": Subject(
            operator=ours("add"),
            eager=torch.add,
            more=lambda x: (torch.randn_like(x),),
            passes=3,
        ),
        "rms_norm": Subject(
            operator=ours("rms_norm"),
            eager=lambda x, weight: functional.rms_norm(x, weight.shape, weight, 1e-6),
            more=lambda x: (torch.randn_like(x[0]),),
            passes=2,
        ),
        "bias_gelu": Subject(
            operator=ours("bias_gelu"),
            eager=lambda x, bias: functional.gelu(x + bias),
            more=lambda x: (torch.randn_like(x[0]),),
            passes=2,
        ),
        "softmax_cross_entropy": Subject(
            operator=ours("softmax_cross_entropy"),
            eager=lambda x, target: functional.cross_entropy(x, target, reduction="none"),
            more=lambda x: (torch.randint(x.shape[1], x.shape[:1], device=x.device),),
            passes=1,
        ),
    }


def seconds(ways: Mapping[str, Callable[[], object]], device: str) -> dict[str, float]:
    """Return the seconds of an undisturbed call, the 10th percentile, all ways in turn."""
    counts = {name: _calls(way, device) for name, way in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name].append(_sample(way, counts[name], device))
    return {name: statistics.quantiles(found, n=10)[0] for name, found in taken.items()}


def _calls(way: Callable[[], object], device: str) -> int:
    """Return how many calls make a sample."""
    calls = 1
    while calls < 2**14 and _sample(way, calls, device) * calls < SAMPLE_S:
        calls *= 2
    return calls


def _sample(way: Callable[[], object], calls: int, device: str) -> float:
    start = time.perf_counter()
    for _ in repeat(None, calls):
        way()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls


def copying(x: torch.Tensor) -> Callable[[], object]:
    """Return a copy of x into memory that is there."""
    target = torch.empty_like(x)
    if x.device.type == "cuda":
        return lambda: target.copy_(x)
    source, into = x.numpy(), target.numpy()
    return lambda: np.copyto(into, source)


def rows_of(name: str, subject: Subject, device: str) -> Iterator[dict[str, Cell]]:
    """Yield a row for each size of one operator."""
    graph = torch.compile(subject.eager, fullgraph=True)
    for size, count in SIZES.items():
        columns = min(ROW, count // F32)
        x = torch.randn(count // F32 // columns, columns, device=device)
        inputs = (x, *subject.more(x))
        ways = {"torch": subject.eager, "compile": compiled(graph, inputs)}
        if subject.operator is not None:
            ways["ours"] = subject.operator
            check(name, ways["ours"](*inputs), subject.eager(*inputs))
        timed = {way: partial(call, *inputs) for way, call in ways.items()}
        taken = seconds({"copy": copying(x), **timed}, device)
        yield row(name, size, count, subject.passes, taken)


def compiled(graph: Way, inputs: Inputs) -> Way:
    """Return the graph, compiled once for any number of rows above one."""
    rows = inputs[0].shape[0]
    for value in inputs:
        if (
            rows > 1
            and value.shape[0] == rows
            and (value.dim() > 1 or not value.is_floating_point())
        ):
            torch._dynamo.mark_dynamic(value, 0)  # noqa: SLF001 - its documented name
    graph(*inputs)
    return graph


def check(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """End the program if results differ."""
    if not torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5):
        raise SystemExit(f"`{name}` gives another result than torch")


def row(
    name: str, size: str, count: int, passes: int, taken: Mapping[str, float]
) -> dict[str, Cell]:
    """Return speeds and shares of one operator at one size."""
    copy = 2 * count / taken["copy"] / 1e9
    speeds = {way: passes * count / s / 1e9 for way, s in taken.items() if way != "copy"}
    ours = taken.get("ours")
    return {
        "operator": name,
        "size of x": size,
        "copy GB/s": copy,
        "ours µs": None if ours is None else ours * 1e6,
        "ours GB/s": speeds.get("ours"),
        **{
            f"{way} % of copy": round(100 * speeds[way] / copy, 1) if way in speeds else None
            for way in ("ours", "torch", "compile")
        },
        "torch / ours": None if ours is None else taken["torch"] / ours,
        "compile / ours": None if ours is None else taken["compile"] / ours,
    }


def keep_memory() -> None:
    """Have malloc keep what is freed: else new pages for 64 MiB cost more than any operator."""
    ctypes.CDLL(None).mallopt(NO_MMAP, 0)
    ctypes.CDLL(None).mallopt(KEEP_HEAP, 2**31 - 1)


def measure(device: str) -> list[dict[str, Cell]]:
    """Return all rows for one device."""
    torch.manual_seed(0)
    return [
        found
        for name, subject in subjects(device).items()
        for found in rows_of(name, subject, device)
    ]


def notes(device: str) -> str:
    """Say what the figures are."""
    lacking = [name for name, subject in subjects(device).items() if subject.operator is None]
    where = "one thread, memory kept by malloc" if device == "cpu" else "outputs by torch's cache"
    return (
        f"f32 on {device}, rows of {ROW}, {where}; 10th percentile of {ROUNDS} interleaved rounds, "
        "calls and outputs included. GB/s: what must be read and written at the least, by time; "
        "% of copy: by the speed of a copy of x into memory that is there. The graph is compiled "
        "for any number of rows above one."
        + "".join(f" Left out: our {name}, which has no native kernel here." for name in lacking)
    )


def main() -> None:
    """Measure and report, or say why not."""
    need_core()
    torch.set_num_threads(1)
    keep_memory()
    report("Operators by size", measure("cpu"), notes=notes("cpu"))


if __name__ == "__main__":
    main()
