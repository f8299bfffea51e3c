"""A batch of rows in several ways, in turns, in one run: rows a second, start, memory, CPU.

    python benchmarks/jobs/throughput.py --rows 20000 --rounds 5 --json PATH

Rows are JSON Lines, in and out. `no-op` rows take no time; `slow` ones take 50 ms each, 128 of them
under way, so that 2,560 rows a second are the most there can be. A method whose output is not every
row exactly once is refused; a round that does not come to its end does not count. Peers are not
dependencies of this package: what is not there is left out, with the command that installs it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

sys.path.insert(1, str(Path(__file__).parents[1]))

import rows
from methods import METHODS
from trials import Shape, there, tried, version

from timing import busy_cores, noise, publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from trials import Trial

    from timing import Cell

OURS: Final = "ours"
PROCESSES: Final = 2
LATENCY_S: Final = 0.05
IN_FLIGHT: Final = 128
IDEAL: Final = IN_FLIGHT / LATENCY_S
NOTES: Final = (
    "Rows a second once a method has started (ours: with the start of its workers), and how far "
    "rounds lay apart; the first row from the start of its process; memory is the proportional set "
    "of all its processes and of the server it needs, which was started before. DBOS keeps its "
    "state in PostgreSQL, Celery in Redis with its log, both as they are by themselves; where a "
    "method is slow it got fewer rows."
)


@dataclass(slots=True, kw_only=True)
class Samples:
    """What one method did with one kind of rows."""

    rows: int
    trials: list[Trial] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """How its processes ended in rounds that do not count."""
    refusal: str = ""
    """What was wrong with its output; nothing of it is shown then."""

    @property
    def pace(self) -> float | None:
        """Rows a second, the median; None where it was refused."""
        seconds = self.median(lambda one: one.seconds)
        return self.rows / seconds if seconds else None

    def median(self, of: Callable[[Trial], float | None]) -> float | None:
        """Return the median of something."""
        found = [value for value in map(of, self.trials) if value is not None]
        return median(found) if found else None


def main() -> None:
    """Measure, print a table, keep it."""
    asked = _arguments()
    busy = busy_cores()
    methods = there([name for name in METHODS if name in asked.methods.split(",")])
    found: dict[tuple[str, str], Samples] = {}
    for turn in range(asked.rounds):
        names = list(methods)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            for kind, most in (("no-op", asked.rows), ("slow", asked.slow_rows)):
                count = min(most, methods[name].most_rows)
                samples = found.setdefault((kind, name), Samples(rows=count))
                if not samples.refusal:
                    _once(name, kind, samples)
    versions = {name: version(about) for name, about in methods.items()}
    shown = [
        _shown(kind, name, samples, versions[name]) | _beside(samples, found.get((kind, OURS)))
        for (kind, name), samples in sorted(found.items(), key=lambda one: one[0][0])
    ]
    kept = [{"kind": kind, "method": name, **asdict(one)} for (kind, name), one in found.items()]
    shape = f"{PROCESSES} processes, {IN_FLIGHT} rows under way."
    notes = f"Medians of {asked.rounds} rounds in turn; {shape} {NOTES} {noise(busy)}"
    publish(
        "Batches in several ways",
        shown,
        notes=notes.strip(),
        target=asked.json,
        more={"rounds": asked.rounds, "busy_cores_before": round(busy, 2), "samples": kept},
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="batches in several ways")
    parser.add_argument("--rows", type=int, default=200_000, help="that take no time")
    parser.add_argument("--slow-rows", type=int, default=25_600, help="of 50 ms each")
    parser.add_argument("--methods", default=",".join(METHODS), help="by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def _once(name: str, kind: str, samples: Samples) -> None:
    latency_s = LATENCY_S if kind == "slow" else 0.0
    trial = tried(
        METHODS[name],
        samples.rows,
        Shape(PROCESSES, IN_FLIGHT),
        environment={rows.LATENCY: str(latency_s)},
    )
    samples.refusal = trial.refusal
    samples.failures += [trial.failure] if trial.failure else []
    samples.trials += [] if trial.refusal or trial.failure else [trial]
    said = trial.refusal or trial.failure or f"{samples.rows / trial.seconds:.0f} rows/s"
    print(f"{name}, {kind}: {said}", file=sys.stderr, flush=True)


def _shown(kind: str, name: str, samples: Samples, its_version: str) -> dict[str, Cell]:
    pace = None if samples.refusal else samples.pace
    first_s = samples.median(lambda one: one.first_s)
    whole_s = samples.median(lambda one: one.whole_s)
    cpu_s = samples.median(lambda one: one.cpu_s)
    peak = samples.median(lambda one: one.peak_bytes)
    return {
        "rows": kind,
        "method": name,
        "version": its_version,
        "count": samples.rows,
        "rows/s": samples.refusal or ("failed" if pace is None else round(pace)),
        "of ideal %": round(100 * pace / IDEAL, 1) if pace and kind == "slow" else None,
        "first row s": _rounded(first_s, 2),
        "whole s": _rounded(whole_s, 2),
        "CPU s": _rounded(cpu_s, 1),
        "peak MB": _rounded(None if peak is None else peak / 1e6, 0),
        "survives kill -9": METHODS[name].survives,
    }


def _beside(samples: Samples, ours: Samples | None) -> dict[str, Cell]:
    """Return how far rounds lay apart, and how much faster ours is."""
    seconds = [trial.seconds for trial in samples.trials]
    spread = (max(seconds) - min(seconds)) / median(seconds) if seconds else None
    ratio = ours.pace / samples.pace if ours and ours.pace and samples.pace else None
    return {
        "spread %": None if spread is None else round(100 * spread),
        "rounds": len(seconds),
        "ours by it": None if ratio is None else round(ratio, 2),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits or None)


if __name__ == "__main__":
    main()
