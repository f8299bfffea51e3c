"""How fast one and two threads read memory: the bound of decoding a model larger than caches.

python benchmarks/engine/bandwidth.py
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

import numpy as np

from openautoglm.native import ffi
from openautoglm.native.toolchain import compile_library

SOURCE: Final = Path(__file__).parent / "native" / "read_memory.cc"
SIZE: Final = 2**30  # bytes: beyond any cache
FLAGS: Final = ("-O3", "-mavx2")


def read_gb_s(threads: int, rounds: int = 7) -> float:
    """Return the median speed of reading, in GB/s (10⁹ bytes)."""
    library = ffi.load().load_module(str(compile_library([SOURCE], flags=FLAGS)))
    read = library.get_function("read_memory")
    memory = np.ones(SIZE // 8, np.int64)  # written: pages that are there, not the zero page
    speeds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        total = read(memory, threads)
        speeds.append(SIZE / (time.perf_counter() - began) / 1e9)
        if total != len(memory):
            raise SystemExit(f"read {total} of {len(memory)} numbers")
    return statistics.median(speeds[1:])  # the first one is no example


def main() -> None:
    """Print both."""
    for threads in (1, 2):
        print(f"{threads} threads: {read_gb_s(threads):.1f} GB/s")


if __name__ == "__main__":
    main()
