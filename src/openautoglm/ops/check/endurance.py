"""What only many calls show: other answers from several threads, and memory that is not given back.

Runs in the process of the kernel's trials. Neither is a proof: a race may not happen, and a leak of
fewer bytes a call than `LEAK_BYTES` is taken for noise.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from openautoglm.ops.check.memory import same_bytes
from openautoglm.ops.check.trial import Outcome, Problem, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.ops.check.sample import Sample
    from openautoglm.ops.check.trial import Placed, Trial

THREADS: Final = 4
CALLS: Final = 60
BLOCKS: Final = 4
LEAK_BYTES: Final = 24.0
"""Bytes of C memory a call, in every block of calls."""
LEAK_OBJECTS: Final = 0.9
"""Python's small memory blocks a call, in every block of calls."""


def ask_threads(trial: Trial, sample: Sample) -> Outcome:
    """Call the kernel from several threads at once and compare with what one thread gets."""
    samples = [replace(sample, seed=sample.seed + n) for n in range(THREADS)]
    placed = [trial.place(one) for one in samples]
    wanted = [trial.again(s, p) for s, p in zip(samples, placed, strict=True) if p is not None]
    start = threading.Barrier(len(wanted))
    found: list[str] = []

    def call(mine: Sample, first: Placed) -> None:
        start.wait()
        for _ in range(CALLS):
            if found:
                return
            try:
                if not same_bytes(first.outputs, trial.again(mine, first).outputs):
                    found.append("threads get other answers at the same time than one alone")
            except Exception as error:  # noqa: BLE001 - whatever a kernel raises is a finding
                found.append(f"in a thread: {first_line(error)}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [
        threading.Thread(target=call, args=pair) for pair in zip(samples, wanted, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    return Outcome(problems=tuple(Problem("threads", text) for text in found[:1]))


def ask_memory(trial: Trial, sample: Sample) -> Outcome:
    """Call the kernel many times and look whether memory in use grows with every block of calls."""
    placed = trial.place(sample)
    if placed is None:
        return Outcome(skipped="the array library has no such layout")

    def block() -> None:
        for _ in range(CALLS):
            trial.run(sample, placed)

    block()
    objects, heap = _growth(block)
    problems = []
    if min(heap, default=0.0) >= LEAK_BYTES:
        problems.append(Problem("memory", f"{min(heap):.0f} bytes more in use after every call"))
    elif min(objects) >= LEAK_OBJECTS:
        text = f"{min(objects):.1f} Python objects more in use after every call"
        problems.append(Problem("memory", text))
    return Outcome(problems=tuple(problems))


def _growth(block: Callable[[], None]) -> tuple[list[float], list[float]]:
    """Return Python's memory blocks and C's bytes that each block of calls left behind, a call."""
    heap_in_use = _heap_in_use()
    marks: list[tuple[int, int]] = []
    gc.freeze()  # collecting is quick then: only what the calls made is looked at
    for count in range(BLOCKS + 1):
        if count:
            block()
        gc.collect()
        marks.append((sys.getallocatedblocks(), heap_in_use()))
    gc.unfreeze()
    steps = list(pairwise(marks))
    objects = [(after[0] - before[0]) / CALLS for before, after in steps]
    heap = [(after[1] - before[1]) / CALLS for before, after in steps]
    return objects, heap


class _MallocInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _heap_in_use() -> Callable[[], int]:
    """Return what tells the bytes that malloc has given out; constant where that is not known."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:  # not glibc, or older than 2.33
        return lambda: 0
    ask.restype = _MallocInfo

    def in_use() -> int:
        info = ask()
        return int(info.uordblks + info.hblkhd)

    return in_use
