"""What one call costs: many ways to the same result, in turn, by median and 10th percentile.

Owns cases, aims and the table. Knows nothing of operators.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from timing import Cell

ROUNDS = 30
SAMPLES = 5  # of a case in a round
CALLS = 100  # in a sample, at most
SAMPLE_NS = 500_000  # about, so that few samples meet another program's turn

NEW, GIVEN, RECORDED, BOTH, COMPILED = (
    "output made",
    "output given",
    "gradient recorded",
    "forward and backward",
    "torch.compile",
)
TORCH, CUSTOM, CUSTOM_GRAD = (
    "torch.add",
    "torch.library.custom_op",
    "torch.library.custom_op, register_autograd",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to the result.

    Attributes:
        group: what is done; costs are compared with torch's and custom_op's of the same group.
        name: whose way it is.
        function: called with `args`.
        at_most: the most it is to cost, as factors of other cases by group and name.
    """

    group: str
    name: str
    function: Callable[..., object]
    args: tuple[object, ...] = ()
    at_most: tuple[tuple[float, str, str], ...] = ()


def costs(cases: Sequence[Case], *, settle: Callable[[], object] = int) -> list[list[list[float]]]:
    """Return nanoseconds a call by case, round and sample; `settle` runs before every sample.

    Samples include the loop around the calls, about 30 ns a call.
    """
    taken: list[list[list[float]]] = [[] for _ in cases]
    calls = [
        max(CALLS // 10, min(CALLS, int(SAMPLE_NS / sample_ns(c, calls=CALLS)))) for c in cases
    ]
    gc.collect()
    gc.disable()
    for turn in range(ROUNDS + 1):
        for case, found, count in zip(cases, taken, calls, strict=True):
            sample_ns(case, calls=CALLS // 10)
            samples = []
            for _ in range(SAMPLES):
                settle()
                samples.append(sample_ns(case, calls=count))
            if turn:
                found.append(samples)
        gc.collect()
    gc.enable()
    return taken


def sample_ns(case: Case, *, calls: int) -> float:
    """Call one case again and again; return nanoseconds a call."""
    function, args = case.function, case.args
    start = time.perf_counter_ns()
    for _ in repeat(None, calls):
        function(*args)
    return (time.perf_counter_ns() - start) / calls


def table(cases: Sequence[Case], taken: Sequence[list[list[float]]]) -> list[dict[str, Cell]]:
    """Return a row for each case: costs, factors and aims."""
    found = {(c.group, c.name): rounds for c, rounds in zip(cases, taken, strict=True)}
    rows: list[dict[str, Cell]] = []
    for case in cases:
        own = found[case.group, case.name]
        flat = [sample for samples in own for sample in samples]
        base = NEW if case.group == GIVEN else case.group
        custom = CUSTOM_GRAD if base in (RECORDED, BOTH) else CUSTOM
        factors = [(f, factor(own, found[g, n]), n) for f, g, n in case.at_most]
        rows.append(
            {
                "what": case.group,
                "way": case.name,
                "median ns": round(statistics.median(flat)),
                "p10 ns": round(statistics.quantiles(flat, n=10)[0]),
                "× torch.add": factor(own, found.get((base, TORCH))),
                "× custom_op": factor(own, found.get((base, custom))),
                "aim": "; ".join(f"≤ {limit:.3g} × {name}" for limit, _, name in factors) or None,
                "met": _met([made is not None and made <= f for f, made, _ in factors]),
            }
        )
    return rows


def factor(own: list[list[float]], base: list[list[float]] | None) -> float | None:
    """Return the median over rounds of the factor between the medians of two cases."""
    if base is None:
        return None
    pairs = zip(own, base, strict=True)
    return round(statistics.median(_ratio(a, b) for a, b in pairs), 3)


def _ratio(own: list[float], base: list[float]) -> float:
    return statistics.median(own) / statistics.median(base)


def _met(answers: list[bool]) -> str | None:
    if not answers:
        return None
    return "yes" if all(answers) else "no"
