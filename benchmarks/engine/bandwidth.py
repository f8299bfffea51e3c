"""How fast one and two threads read memory: the bound of decoding a model larger than caches.

python benchmarks/engine/bandwidth.py
"""

from __future__ import annotations

import mmap
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
    memory = _memory()
    speeds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        total = read(memory, threads)
        speeds.append(SIZE / (time.perf_counter() - began) / 1e9)
        if total != len(memory):
            raise SystemExit(f"read {total} of {len(memory)} numbers")
    return statistics.median(speeds[1:])  # the first one is no example


def _memory() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return ones, in large pages where the system has them, at a multiple of 64 bytes."""
    pages = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    memory = np.frombuffer(pages, np.int64)
    memory[:] = 1
    return memory


def main() -> None:
    """Print both."""
    for threads in (1, 2):
        print(f"{threads} threads: {read_gb_s(threads):.1f} GB/s")


if __name__ == "__main__":
    main()
