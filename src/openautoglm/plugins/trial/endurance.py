"""Rows about many calls: what they leave behind, memory, threads, how long they take.

Runs in the child. Owns `trial.leftovers`, `trial.memory`, `trial.threads`, `trial.latency`. None is
a proof: a race may not happen, and what grows slower than the thresholds is taken for noise.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.inspect.rows import failed, passed, skipped
from openautoglm.plugins.trial import held
from openautoglm.plugins.trial.calling import NOT_MADE, told, words
from openautoglm.plugins.trial.latency import latency_of
from openautoglm.plugins.trial.subjects import stable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.plugins.report import Finding
    from openautoglm.plugins.trial.requests import Request
    from openautoglm.plugins.trial.subjects import Contributed

BLOCKS: Final = 4
THREADS: Final = 4
LEAK_BYTES: Final = 256.0
"""Bytes of C memory a call, in every block of calls; about one small Python object."""

LEAK_OBJECTS: Final = 0.9
"""Blocks of Python's own allocator a call, in every block of calls."""

CERTAIN: Final = 20
"""Calls a block in which a suspicion is asked again."""

NOISE_BYTES: Final = 4_096
NOISE_OBJECTS: Final = 12
"""What a block of calls may leave behind whatever the number of calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many calls a row may make.

    Attributes:
        call_s: how long one takes, about.
        budget_s: how long a row may take, about.
    """

    call_s: float
    budget_s: float

    def calls(self, *, least: int, most: int, share: float = 1.0) -> int:
        """Return how many fit into a share of the budget, within bounds."""
        return max(least, min(most, int(self.budget_s * share / max(self.call_s, 1e-6))))


def paced(contributed: Contributed, *, is_quick: bool) -> Pace:
    """Make each request once, and return how long one takes."""
    start = time.perf_counter()
    call = _caller(contributed)
    for _ in contributed.requests:
        call()
    taken = (time.perf_counter() - start) / max(1, len(contributed.requests))
    return Pace(call_s=taken, budget_s=0.2 if is_quick else 4.0)


def leftovers(contributed: Contributed, label: str, pace: Pace) -> Iterator[Finding]:
    """Count descriptors and threads before and after blocks of calls."""
    row = "trial.leftovers"
    if not contributed.requests:
        yield skipped(row, NOT_MADE, contribution=label)
        return
    call, count = _caller(contributed), pace.calls(least=2, most=5, share=0.3)
    marks = [_open()]
    for _ in range(3):
        for _ in range(count):
            call()
        gc.collect()
        marks.append(_open())
    for place, noun in enumerate(("descriptors", "threads")):
        steps = [after[place] - before[place] for before, after in pairwise(marks[1:])]
        if min(steps) > 0:
            measured = f"{min(steps) / count:.1f} more {noun} after every call"
            yield failed(row, measured, contribution=label)
            return
    measured = f"{marks[-1][0]} descriptors, {marks[-1][1]} threads after {3 * count} calls"
    yield passed(row, measured, contribution=label)


def memory(contributed: Contributed, label: str, pace: Pace) -> Iterator[Finding]:
    """Look whether memory in use grows with every block of calls."""
    row = "trial.memory"
    if not contributed.requests:
        yield skipped(row, NOT_MADE, contribution=label)
        return
    call, count = _caller(contributed), pace.calls(least=1, most=200, share=0.15)
    grown = _grown(call, count)
    if grown.is_leak:  # asked again, with calls enough to tell it from what is filled once
        grown = _grown(call, max(count, CERTAIN))
    if grown.is_leak:
        threshold = f"under {LEAK_BYTES:.0f} bytes and {LEAK_OBJECTS} objects a call"
        yield failed(row, str(grown), threshold=threshold, contribution=label)
    else:
        yield passed(row, str(grown), contribution=label)


@dataclass(frozen=True, slots=True)
class _Growth:
    """What the block of calls that left least behind left behind."""

    heap: int
    objects: int
    calls: int

    @property
    def is_leak(self) -> bool:
        """Whether it is more than noise."""
        return self.heap >= max(LEAK_BYTES * self.calls, NOISE_BYTES) or self.objects >= max(
            LEAK_OBJECTS * self.calls, NOISE_OBJECTS
        )

    def __str__(self) -> str:
        heap, objects = self.heap / self.calls, self.objects / self.calls
        return f"{heap:.0f} bytes and {objects:.1f} objects more a call, {BLOCKS} x {self.calls}"


def _grown(call: Callable[[], None], count: int) -> _Growth:
    """Make blocks of calls and return the least growth of memory in use over one."""
    heap_in_use = _heap_in_use()
    marks = []
    gc.collect()
    gc.freeze()  # collecting is quick then: only what the calls made is looked at
    for _ in range(BLOCKS + 2):  # the first two warm up
        for _ in range(count):
            call()
        gc.collect()
        marks.append((sys.getallocatedblocks(), heap_in_use()))
    gc.unfreeze()
    steps = list(pairwise(marks[1:]))
    return _Growth(
        heap=min(after[1] - before[1] for before, after in steps),
        objects=min(after[0] - before[0] for before, after in steps),
        calls=count,
    )


def threads(
    contributed: Contributed, label: str, pace: Pace, *, compares: bool
) -> Iterator[Finding]:
    """Make requests from several threads at once and compare with what one thread gets."""
    row = "trial.threads"
    if not contributed.requests:
        yield skipped(row, NOT_MADE, contribution=label)
        return
    if not compares:
        yield skipped(row, "one call's answers differ by themselves, or may", contribution=label)
        return
    count = pace.calls(least=3, most=100, share=0.25)
    found = _together(contributed, count)
    if found:
        yield failed(row, found, contribution=label)
    else:
        yield passed(row, f"{THREADS} threads, {count} calls each", contribution=label)


def _together(contributed: Contributed, count: int) -> str:
    """Make calls from several threads; return how one differed, empty where none did."""
    requests = list(islice(cycle(contributed.requests), THREADS))
    wanted = [_tried(contributed, request) for request in requests]
    start = threading.Barrier(THREADS)
    found: list[str] = []

    def work(place: int) -> None:
        start.wait()
        for _ in range(count):
            answer = wanted[place] if found else _tried(contributed, requests[place])
            if answer != wanted[place]:
                found.append(f"{words(answer)}, and alone {words(wanted[place])}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    workers = [threading.Thread(target=work, args=(place,)) for place in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.setswitchinterval(interval)
    return found[0] if found else ""


def _tried(contributed: Contributed, request: Request) -> bytes:
    try:
        return stable(contributed.call(request))
    except Exception as error:  # noqa: BLE001 - an error is an answer
        return told(error).encode()


def latency(contributed: Contributed, label: str, pace: Pace, p95_ms: float) -> Iterator[Finding]:
    """Time calls, and take off what the machine itself adds."""
    row = "trial.latency"
    if not contributed.requests:
        yield skipped(row, NOT_MADE, contribution=label)
        return
    count = pace.calls(least=10, most=1_000)
    times = latency_of(_caller(contributed), calls=count)
    threshold = f"P95 < {p95_ms:g} ms"
    measured = str(times)
    if times.p95_ms >= p95_ms:
        yield failed(row, measured, threshold=threshold, contribution=label)
    else:
        yield passed(row, measured, contribution=label)


def _caller(contributed: Contributed) -> Callable[[], None]:
    """Return a function that makes the next request, again and again; errors are answers."""
    requests = cycle(contributed.requests)

    def call() -> None:
        with suppress(Exception):  # recorded errors are answers, others were told
            contributed.call(next(requests))

    return call


def _open() -> tuple[int, int]:
    """Return how many descriptors and threads there are."""
    return held.descriptors(), held.threads()


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
