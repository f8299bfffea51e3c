"""Swap a kernel library again and again while threads call it, eagerly and through a graph.

Every result must be one of the builds', all threads must go on, and builds that were swapped out
must leave memory. `python tests/soak/swap.py` is the long form.
"""

from __future__ import annotations

import argparse
import gc
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm import ops
from openautoglm.native import trial
from openautoglm.native.toolchain import build_folder

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(__file__).parents[1] / "conformance" / "operators" / "tagged"
SCHEMA = "tagged(Tensor x, float scale=1.0) -> Tensor"
VALUES = (1, 2, 3)


@dataclass
class Outcome:
    """What a run came to; `wrong`, `errors` and `mapped` (builds still in memory) are findings."""

    swaps: int = 0
    calls: int = 0
    seen: list[float] = field(default_factory=list)
    wrong: int = 0
    errors: list[str] = field(default_factory=list)
    mapped: int = 0
    median_swap_ms: float = 0.0


def builds() -> list[Path]:
    """Return libraries of one contract whose results differ."""
    made = []
    for value in VALUES:
        flags = (f"-DVALUE={value}", f'-DSCHEMA="{SCHEMA}"')
        made.append(build_folder(SOURCES, flags=flags).path)
    return made


def ways() -> list[Callable[[], float]]:
    """Return an eager call, one through a graph, and one on NumPy arrays, each with its result."""
    tagged, tensor, array = ops.get("tagged"), torch.zeros(8), np.zeros(8, "f4")
    graph: Callable[[Any], Any] = torch.compile(tagged, backend="eager", fullgraph=True)
    graph(tensor)
    return [
        lambda: _same(tagged(tensor).tolist()),
        lambda: _same(graph(tensor).tolist()),
        lambda: _same(tagged(array).tolist()),
    ]


def run(*, swaps: int, calls: int) -> Outcome:
    """Swap at least `swaps` times and until the threads have made `calls` calls together."""
    outcome, stop = Outcome(), threading.Event()
    paths = builds()
    library = ops.load_library(paths[0], name="tagged")
    mapped = [library.path]
    counts = [0, 0, 0]
    seen: list[set[float]] = [set(), set(), set()]

    def call(number: int, way: Callable[[], float]) -> None:
        try:
            while not stop.is_set():
                seen[number].add(way())
                counts[number] += 1
        except Exception as error:  # noqa: BLE001 - a finding
            outcome.errors.append(f"{type(error).__name__}: {error}")

    with torch._dynamo.config.patch(error_on_recompile=True):
        threads = [threading.Thread(target=call, args=pair) for pair in enumerate(ways())]
        for thread in threads:
            thread.start()
        times = []
        while outcome.swaps < swaps or (sum(counts) < calls and not outcome.errors):
            started = time.perf_counter()
            library.swap(paths[(outcome.swaps + 1) % len(paths)])
            times.append(time.perf_counter() - started)
            mapped.append(library.path)
            outcome.swaps += 1
        stop.set()
        for thread in threads:
            thread.join()
    outcome.calls = sum(counts)
    outcome.seen = sorted(set.union(*seen))
    outcome.wrong = sum(value not in VALUES for value in outcome.seen)
    outcome.median_swap_ms = sorted(times)[len(times) // 2] * 1e3
    library.unload()
    gc.collect()
    outcome.mapped = sum(trial.is_mapped(path) for path in set(mapped))
    return outcome


def _same(values: list[float]) -> float:
    """Return the one value of all elements, or NaN where two builds wrote them."""
    return values[0] if len(set(values)) == 1 else float("nan")


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=1_000_000)
    options = parser.parse_args()
    outcome = run(swaps=options.swaps, calls=options.calls)
    rows = [
        at_least("swaps", outcome.swaps, options.swaps),
        at_least("calls meanwhile", outcome.calls, options.calls),
        at_most("results of no build", outcome.wrong, 0),
        none("errors", outcome.errors),
        at_most("builds that stayed in memory", outcome.mapped, 0),
        told("a swap takes, median, ms", round(outcome.median_swap_ms, 2)),
    ]
    finish("Swapping kernels", outcome, rows)


if __name__ == "__main__":
    main()
