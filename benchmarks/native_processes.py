"""Worker processes of the native backend: how fast they start, what they take, what they save.

A decoder of 20 million random weights, prompts of 20 to 60 words, 64 tokens each, nothing guessed.
One process, one with two threads, and two worker processes take turns; the first answer of a
worker process includes its start.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent / "engine"))

from models import make

from openautoglm.engine.backend import LoadSpec, Request
from openautoglm.engine.backends.native import loading
from openautoglm.engine.sampling import SamplingParams
from timing import report

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.backend import NativeBackend
    from timing import Cell

ROUNDS = 5
ROWS = 96
SMALL = 10
TOKENS = 64
TICKS = os.sysconf("SC_CLK_TCK")
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and"]
KINDS: dict[str, dict[str, int]] = {
    "1 process": {"processes": 1},
    "1 process, 2 threads": {"processes": 1, "threads": 2},
    "2 processes": {"processes": 2},
}


def load(mode: str, **options: object) -> NativeBackend:
    """Load the model."""
    given = {"mode": mode, "speculate": False, **options}
    return loading.load(LoadSpec(model=str(make("20m")), options=given))


def requests(rows: int, tokens: int) -> list[Request]:
    """Return the work, the same each time."""
    chance = random.Random(1)  # noqa: S311 - no secret: the same work each time
    params = SamplingParams(max_length=tokens, min_tokens=tokens)
    prompts = [" ".join(chance.choices(WORDS, k=chance.randint(20, 60))) for _ in range(rows)]
    return [Request(prompt=prompt, params=params) for prompt in prompts]


def cpu_s(pids: list[int]) -> float:
    """Return the processor seconds of this process and of others."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return time.process_time() + sum((int(s[11]) + int(s[12])) / TICKS for s in stats)


def private_mb(pid: int) -> float:
    """Return the memory that a process has alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split()[0]: int(line.split()[1]) for line in lines}
    return (sizes["Private_Clean:"] + sizes["Private_Dirty:"]) / 1024


def start() -> list[dict[str, Cell]]:
    """Measure the start of a worker process, to its first answer, and what memory is its own."""
    first_s, private = [], []
    for _ in range(ROUNDS):
        backend = load("fp32", processes=2)
        began = time.perf_counter()
        list(backend.batch(requests(1, 1)))
        first_s.append(time.perf_counter() - began)
        private.append(private_mb(backend.workers[0]))
        backend.close()
    return [
        row("a worker, start to first answer", "s", statistics.median(first_s)),
        row("a worker, memory of its own", "MiB", statistics.median(private)),
    ]


def throughput(mode: str) -> list[dict[str, Cell]]:
    """Measure tokens per second, and per second of the processor."""
    backends = {name: load(mode, **options) for name, options in KINDS.items()}
    work = requests(ROWS, TOKENS)
    spread = backends["2 processes"]
    while len(spread.workers) < KINDS["2 processes"]["processes"]:
        list(spread.batch(work[:8]))
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in KINDS}
    for _ in range(ROUNDS):
        for name, backend in backends.items():
            used, began = cpu_s(backend.workers), time.perf_counter()
            tokens = sum(answer.completion_tokens for _, answer in backend.batch(work))
            took = time.perf_counter() - began
            speeds[name].append((tokens / took, tokens / (cpu_s(backend.workers) - used)))
    for backend in backends.values():
        backend.close()
    return [
        row(f"{mode}, {name}", f"tokens per {per}", statistics.median(pair[at] for pair in found))
        for name, found in speeds.items()
        for at, per in enumerate(("s", "CPU-s"))
    ]


def row(what: str, unit: str, value: float) -> dict[str, Cell]:
    """Return a line of the table."""
    return {"what": what, "unit": unit, "value": round(value, 2 if value < SMALL else None)}


if __name__ == "__main__":
    report(
        "Worker processes of the native backend",
        [*start(), *throughput("fp32"), *throughput("int8")],
        notes="Medians of five rounds in turn.",
    )
