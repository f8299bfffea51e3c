"""What replacing a kernel library costs while calls run, and whether any call gets a wrong result.

Two builds of one kernel, whose results tell them apart, take turns: `swap` examines and loads a
file, `rollback` puts back a build that is loaded, the store is what both end in. Callers call all
the while: the operator from Python threads, a compiled graph, and the native door from C++ without
Python's lock.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from openautoglm import ops
from openautoglm.errors import BuildFailedError
from openautoglm.native import ffi
from openautoglm.native.toolchain import compile_library
from operators import HERE, need_core, skip
from timing import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from timing import Cell

CHANGES = 1_000  # at least, while calls run
CALLS = 1_000_000  # at least, while changes are made
STORES = 24  # for each swap and rollback
QUIET_CYCLES = 10  # without calls
LIMIT_S = 40.0
AIM_MS = 1.0
SWAP = "swap: file examined, loaded, stored"
ROLLBACK = "rollback: loaded already, stored"
STORE = "store of kernels in the table"
FIRST, SECOND = 3.0, 4.0  # what the builds make of 1 and 2
N = 16


def build(device: str) -> tuple[Path, Path]:
    """Return two builds of one kernel."""
    source = HERE / "native" / ("shifted_add.cu" if device == "cuda" else "shifted_add.cc")
    first, second = (
        compile_library([source], flags=(f"-DSHIFT={shift}",), cuda=device == "cuda")
        for shift in ("0.0f", "1.0f")
    )
    return first, second


class Swapping:
    """A library that is replaced, with how long that took and whether it showed at once."""

    def __init__(self, device: str) -> None:
        first, self._second = build(device)
        self._library = ops.load_library(first, name="swapped")
        self.operator = ops.get("shifted_add")
        self.x = torch.full((N,), 1.0, device=device)
        self.y = torch.full((N,), 2.0, device=device)
        self.ms: dict[str, list[float]] = {}
        self.stale = 0

    def cycle(self) -> None:
        """Swap, roll back, then let the kernels of both builds take turns in the table."""
        firsts = self._kernels()
        self._change(SWAP, lambda: self._library.swap(self._second), SECOND)
        seconds = self._kernels()
        self._change(ROLLBACK, self._library.rollback, FIRST)
        table, name = self.operator.table, self._library.name
        for _ in range(STORES // 2):
            self._change(STORE, lambda: table.replace(name, seconds), SECOND)
            self._change(STORE, lambda: table.replace(name, firsts), FIRST)

    @property
    def changes(self) -> int:
        """How many there were."""
        return sum(map(len, self.ms.values()))

    def _change(self, kind: str, change: Callable[[], object], wanted: float) -> None:
        start = time.perf_counter()
        change()
        taken = time.perf_counter() - start
        self.ms.setdefault(kind, []).append(taken * 1e3)
        self.stale += not bool((self.operator(self.x, self.y) == wanted).all())

    def _kernels(self) -> list[ops.Kernel]:
        kernels = self.operator.table.kernels
        return [kernel for kernel in kernels if kernel.library == self._library.name]


class Callers:
    """Threads that call until they are told to stop, and what they got."""

    def __init__(self, swapping: Swapping) -> None:
        self._swapping = swapping
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.got: dict[str, Counter[str]] = {}

    @property
    def calls(self) -> int:
        """How many calls were made so far."""
        with self._lock:
            return sum(found.total() for found in self.got.values())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Call inside the block."""
        operator, x, y = self._swapping.operator, self._swapping.x, self._swapping.y
        ways = {
            "operator, 2 Python threads": [self._from_python(operator)] * 2,
            "compiled graph, 1 Python thread": [self._from_python(compiled(operator, x, y))],
        }
        if x.device.type == "cpu":
            ways["native door, 1 C++ thread"] = [self._from_native(operator)]
        self.got = {way: Counter() for way in ways}
        threads = [
            threading.Thread(target=self._call, args=(way, chunk))
            for way, chunks in ways.items()
            for chunk in chunks
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _call(self, way: str, chunk: Callable[[], Counter[str]]) -> None:
        while not self._stop.is_set():
            try:
                found = chunk()
            except Exception as error:  # noqa: BLE001 - a call that fails is what is looked for
                found = Counter({f"{type(error).__name__}: {error}": 1})
            with self._lock:
                self.got[way] += found

    def _from_python(self, call: Callable[..., torch.Tensor]) -> Callable[[], Counter[str]]:
        x, y = self._swapping.x, self._swapping.y
        known = {(FIRST,) * N: "first", (SECOND,) * N: "second"}

        def chunk() -> Counter[str]:
            return Counter(known.get(tuple(call(x, y).tolist()), "wrong") for _ in range(100))

        return chunk

    def _from_native(self, operator: ops.RegisteredOperator) -> Callable[[], Counter[str]]:
        hammer = ffi.load().load_module(str(compile_library([HERE / "native" / "hammer.cc"])))
        call = hammer.get_function("hammer")
        x, y = self._swapping.x, self._swapping.y
        out = torch.empty_like(x)

        def chunk() -> Counter[str]:
            first, second, wrong = call(operator.door, x, y, out, 1_000, FIRST, SECOND)
            return Counter(first=int(first), second=int(second), wrong=int(wrong))

        return chunk


def compiled(
    operator: ops.RegisteredOperator, *inputs: torch.Tensor
) -> Callable[..., torch.Tensor]:
    """Return the operator as the only call of a compiled graph."""

    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = operator(x, y)
        return made

    graph: Callable[..., torch.Tensor] = torch.compile(function, fullgraph=True)
    graph(*inputs)
    return graph


def latencies(when: str, swapping: Swapping) -> Iterator[dict[str, Cell]]:
    """Yield a row for each kind of change since the last time."""
    for kind, taken in swapping.ms.items():
        cut = statistics.quantiles(taken, n=100, method="inclusive")
        is_aimed = kind != SWAP
        yield {
            "what": f"{kind}, {when}",
            "count": len(taken),
            "median ms": round(cut[49], 3),
            "p90 ms": round(cut[89], 3),
            "p99 ms": round(cut[98], 3),
            "max ms": round(max(taken), 3),
            "of build 2 (%)": None,
            "wrong": None,
            "aim": f"median ≤ {AIM_MS:g} ms" if is_aimed else None,
            "met": ("yes" if cut[49] <= AIM_MS else "no") if is_aimed else None,
        }
    swapping.ms.clear()


def counted(callers: Callers, stale: int) -> Iterator[dict[str, Cell]]:
    """Yield a row for each way of calling, and one for the calls right after a change."""
    nothing = dict.fromkeys(("median ms", "p90 ms", "p99 ms", "max ms"))
    ways = {way: (found, bad(found)) for way, found in callers.got.items()}
    for way, (found, wrong) in ways.items():
        share = 100 * found["second"] / max(1, found.total())
        yield {
            "what": f"calls: {way}",
            "count": found.total(),
            **nothing,
            "of build 2 (%)": round(share, 1),
            "wrong": wrong,
            "aim": "none wrong",
            "met": "no" if wrong else "yes",
        }
    yield {
        "what": "calls: right after a change, by who made it",
        "count": None,
        **nothing,
        "of build 2 (%)": None,
        "wrong": stale,
        "aim": "none by the old build",
        "met": "no" if stale else "yes",
    }


def bad(found: Counter[str]) -> int:
    """Return how many results are not wholly of one build; say what calls raised."""
    for what in found.keys() - {"first", "second", "wrong"}:
        print(f"a call raised {what}", file=sys.stderr)
    return found.total() - found["first"] - found["second"]


def measure(device: str) -> list[dict[str, Cell]]:
    """Return all rows for one device."""
    try:
        swapping = Swapping(device)
    except BuildFailedError as reason:
        skip(str(reason))
    for _ in range(QUIET_CYCLES):
        swapping.cycle()
    rows = list(latencies("no calls", swapping))
    callers = Callers(swapping)
    with callers.running():
        end_s = time.monotonic() + LIMIT_S
        while (swapping.changes < CHANGES or callers.calls < CALLS) and time.monotonic() < end_s:
            swapping.cycle()
    rows += latencies("while called", swapping)
    return [*rows, *counted(callers, swapping.stale)]


def main() -> None:
    """Measure and report, or say why not."""
    need_core()
    torch.set_num_threads(1)
    report("Replacing a kernel library while it is called", measure("cpu"), notes=NOTES)


NOTES = (
    f"At least {CHANGES} changes and {CALLS} calls at the same time, or {LIMIT_S:g} s. Wrong: a "
    "result that is not wholly of one build, an error, or, after a change, a call that the old "
    "build served."
)

if __name__ == "__main__":
    main()
