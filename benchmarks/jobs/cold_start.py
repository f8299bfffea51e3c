"""A batch of one row and of ten, from nothing: seconds to the first row and to the end, memory.

    python benchmarks/jobs/cold_start.py --rounds 7 --json PATH

Each is a process of its own with one worker, started anew each time; files are in the cache of the
system. Memory is measured in rounds of its own, as looking often takes time itself. Servers that a
peer needs run already.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

sys.path.insert(1, str(Path(__file__).parents[1]))

from methods import METHODS, About
from trials import Shape, there, tried, version

from timing import busy_cores, noise, publish

if TYPE_CHECKING:
    from methods import Task

    from timing import Cell

OURS: Final = "ours"
COMMAND: Final = "oag batch run"
NAMES: Final = tuple(name for name, about in METHODS.items() if about.chunk == 1)
ONE: Final = Shape(processes=1, in_flight=64)
OFTEN: Final = 0.5
"""Share of a core for looking where memory is measured."""
AIM_S: Final = 1.0
AIM_MB: Final = 90
NOTES: Final = (
    "Time from the start of the process, medians; memory is the proportional set of all its "
    "processes at most, in a run of its own, servers of peers included."
)


@dataclass(slots=True, kw_only=True)
class Samples:
    """What was measured of one method and count."""

    first_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    refusal: str = ""


def main() -> None:
    """Measure, print a table, keep it."""
    asked = _arguments()
    busy = busy_cores()
    names = asked.methods.split(",")
    methods = there([name for name in NAMES if name in names])
    if COMMAND in names:
        methods = {COMMAND: METHODS["ours"], **methods}
    found: dict[tuple[int, str], Samples] = {}
    for turn in range(max(asked.rounds, asked.peer_rounds)):
        for name, about in methods.items():
            if turn < (asked.peer_rounds if about.venv else asked.rounds):
                for count in map(int, asked.counts.split(",")):
                    _once(name, about, count, found.setdefault((count, name), Samples()))
    versions = {name: version(about) for name, about in methods.items()}
    rounds = f"{asked.rounds} rounds in turn, {asked.peer_rounds} of peers with an environment."
    publish(
        "Batches from nothing",
        [
            _shown(count, name, samples, versions[name])
            | _beside(samples, found.get((count, OURS)))
            for (count, name), samples in sorted(found.items(), key=lambda one: one[0][0])
        ],
        notes=f"{NOTES} {rounds} {noise(busy)}".strip(),
        target=asked.json,
        more={
            "aims": {"first row s": AIM_S, "peak MB": AIM_MB},
            "busy_cores_before": round(busy, 2),
        },
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="batches from nothing")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peer-rounds", type=int, default=3, help="of what starts slowly")
    parser.add_argument("--methods", default=",".join((COMMAND, *NAMES)), help="by commas")
    parser.add_argument("--counts", default="1,10", help="rows, by commas")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def _once(name: str, about: About, count: int, samples: Samples) -> None:
    command = _command if name == COMMAND else None
    timed = tried(about, count, ONE, command=command)
    trials = [timed]
    if not samples.peak_mb:  # memory differs little from run to run
        trials.append(tried(about, count, ONE, command=command, share=OFTEN))
        samples.peak_mb.append(trials[-1].peak_bytes / 1e6)
    faults = [fault for trial in trials if (fault := trial.refusal or trial.failure)]
    samples.refusal = samples.refusal or "; ".join(faults)
    samples.whole_s.append(timed.whole_s)
    samples.first_s += [] if timed.first_s is None else [timed.first_s]
    print(f"{name}, {count}: {timed.whole_s:.2f} s {samples.refusal}", file=sys.stderr, flush=True)


def _command(task: Task) -> list[str]:
    """Return the command line that does it; the program lies beside the interpreter."""
    program = str(Path(sys.executable).parent / "oag")
    sink = f"jsonl+file://{task.sink}/"
    options = ["--id-column", "id", "--workers", str(task.processes), "--progress", "none"]
    where = ["--source", task.source, "--sink", sink, "--function", "rows:answer"]
    return [program, "batch", "run", *where, *options]


def _shown(count: int, name: str, samples: Samples, its_version: str) -> dict[str, Cell]:
    first_s = round(median(samples.first_s), 3) if samples.first_s else None
    return {
        "rows": count,
        "method": name,
        "version": its_version,
        "first row s": samples.refusal or first_s,
        "end s": round(median(samples.whole_s), 3),
        "slowest s": round(max(samples.whole_s), 3),
        "peak MB": round(median(samples.peak_mb), 1),
    }


def _beside(samples: Samples, ours: Samples | None) -> dict[str, Cell]:
    """Return how many times as long as ours it took to the end."""
    ratio = median(samples.whole_s) / median(ours.whole_s) if ours else None
    return {"by ours": None if ratio is None else round(ratio, 2)}


if __name__ == "__main__":
    main()
