"""Measure what confinement costs: closing the sandbox, system calls, computing, WebAssembly."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from openautoglm.plugins.host import landlock, seccomp
from openautoglm.plugins.host.limits import ResourceLimits
from openautoglm.plugins.host.sandbox import Sandbox, own_folders, supported
from openautoglm.plugins.host.wasm import WasmLimits, WasmObject
from timing import report

if TYPE_CHECKING:
    from collections.abc import Callable

SKIPPED = 77
WORKERS = 21
ROUNDS = 9
CALLS = 2_000
UPPER = Path(__file__).parents[1] / "docs/isolation.md"

Row = dict[str, str | int | float | None]


def in_worker(scratch: Path, level: str, work: Callable[[], list[float]]) -> list[float]:
    """Run work in a forked worker, confined or not; return its seconds, set-up first."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        start = time.perf_counter()
        if level == "L2":
            Sandbox("L2", ResourceLimits(), scratch, keep_fds=(writing,)).apply()
        elif level == "seccomp":
            seccomp.install(seccomp.own_program())
        elif level == "Landlock":
            landlock.restrict(Sandbox("L2", ResourceLimits(), scratch).rules())
        taken = [time.perf_counter() - start, *work()]
        os.write(writing, " ".join(map(str, taken)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        seconds = [float(word) for word in pipe.read().split()]
    os.waitpid(pid, 0)
    return seconds


def per_call_s(case: Callable[[], object], calls: int) -> float:
    """Return the best of five rounds, in seconds a call."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            case()
        best = min(best, (time.perf_counter() - start) / calls)
    return best


def workload(scratch: Path) -> dict[str, Callable[[], float]]:
    """Return what is timed inside a worker."""
    one, other = np.ones((256, 256), np.float32), np.ones((256, 256), np.float32)
    path = scratch / "file"

    def write() -> None:
        path.write_bytes(b"x")
        path.unlink()

    return {
        "getppid": lambda: per_call_s(os.getppid, 20_000),
        "stat of a file": lambda: per_call_s(scratch.stat, CALLS),
        "open, write and remove a file": lambda: per_call_s(write, CALLS),
        "fcntl, whose arguments are judged": lambda: per_call_s(lambda: os.get_blocking(0), 20_000),
        "multiply 256 x 256 floats": lambda: per_call_s(lambda: one @ other, 200),
    }


def confinement(scratch: Path) -> list[Row]:
    """Return the cost of closing the sandbox and of working in it."""
    supported(), own_folders()  # asked once, by the server that workers are forked from
    rows: list[Row] = []
    for level in ("L2", "Landlock", "seccomp"):
        taken = [in_worker(scratch, level, list)[0] * 1e3 for _ in range(WORKERS)]
        rows.append(
            _row(f"close the sandbox: {level}, median", "ms", None, statistics.median(taken))
        )
        rows.append(_row(f"close the sandbox: {level}, best", "ms", None, min(taken)))
    cases = workload(scratch)
    free: list[list[float]] = []
    held: list[list[float]] = []
    for _ in range(ROUNDS):
        for level, seconds in (("none", free), ("L2", held)):
            seconds.append(in_worker(scratch, level, lambda: [case() for case in cases.values()]))
    for place, name in enumerate(cases, start=1):
        without = min(each[place] for each in free) * 1e6
        within = min(each[place] for each in held) * 1e6
        rows.append(_row(name, "us", without, within))
    return rows


def webassembly() -> list[Row]:
    """Return the cost of loading and calling the module of the page."""
    import wasmtime

    page = UPPER.read_text(encoding="utf-8")
    binary = bytes(wasmtime.wat2wasm(page.split("```wat\n")[1].split("```")[0]))
    loading = []
    for _ in range(11):
        start = time.perf_counter()
        WasmObject(binary).close()
        loading.append((time.perf_counter() - start) * 1e3)
    with WasmObject(binary, WasmLimits()) as upper:
        small = per_call_s(lambda: upper.call("run", {}, {"text": "hello"}, None), CALLS)
        text = "hello " * 10_000
        large = per_call_s(lambda: upper.call("run", {}, {"text": text}, None), 100)
    return [
        _row("WebAssembly: compile and load 1 kB", "ms", None, statistics.median(loading)),
        _row("WebAssembly: instantiate and call, 30 bytes", "us", None, small * 1e6),
        _row("WebAssembly: instantiate and call, 60 kB", "us", None, large * 1e6),
    ]


def _row(name: str, unit: str, without: float | None, within: float) -> Row:
    return {
        "what": name,
        "unit": unit,
        "free": without,
        "confined": within,
        "ratio": within / without if without else None,
    }


def main() -> None:
    """Print the table."""
    if not supported().sandbox:
        print("; ".join(supported().reasons))
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        rows = [*confinement(Path(folder)), *webassembly()]
    report(
        "Isolation",
        rows,
        notes=f"Landlock ABI {supported().landlock_abi}; closing: {WORKERS} workers; "
        f"calls: best of {ROUNDS} workers, 5 rounds each, free and confined in turn.",
    )


if __name__ == "__main__":
    main()
