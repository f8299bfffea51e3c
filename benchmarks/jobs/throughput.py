"""A batch of rows in several ways, in turns, in one run: rows a second, start, memory, CPU.

    python benchmarks/jobs/throughput.py --rows 20000 --rounds 5 --json PATH

Rows are JSON Lines, in and out. `no-op` rows take no time; `slow` ones take 50 ms each, 128 of them
under way, so that 2,560 rows a second are the most there can be. A method whose output is not every
row exactly once is refused. Peers are not dependencies of this package: what is not there is left
out, with the command that installs it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

sys.path.insert(1, str(Path(__file__).parents[1]))

import rows
from methods import METHODS, Task

from timing import machine, table

if TYPE_CHECKING:
    from methods import About

    from timing import Cell

PROCESSES: Final = 2
LATENCY_S: Final = 0.05
IN_FLIGHT: Final = 128
LIMIT_S: Final = 1800


@dataclass(slots=True, kw_only=True)
class Samples:
    """What one method did with one kind of rows."""

    rows: int
    seconds: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    refusal: str = ""


def main() -> None:
    """Measure, print tables, keep them."""
    asked = _arguments()
    kinds = {"no-op": (asked.rows, 0.0), "slow": (asked.slow_rows, LATENCY_S)}
    there = {n: a for n, a in METHODS.items() if n in asked.methods.split(",") and _is_there(n, a)}
    found: dict[tuple[str, str], Samples] = {}
    for turn in range(asked.rounds):
        names = list(there)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            for kind, (most, latency_s) in kinds.items():
                count = min(most, there[name].most_rows)
                samples = found.setdefault((kind, name), Samples(rows=count))
                if not samples.refusal:
                    _once(there[name], samples, latency_s)
    document, text = _reported(found, asked.rounds)
    print(text)
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
        asked.json.with_suffix(".md").write_text(text, "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="batches in several ways")
    parser.add_argument("--rows", type=int, default=200_000, help="that take no time")
    parser.add_argument("--slow-rows", type=int, default=25_600, help="of 50 ms each")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here, tables beside")
    return parser.parse_args()


def _is_there(name: str, about: About) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({about.needs!r}) is None)"
    try:
        is_there = subprocess.run([about.python, "-c", code], check=False).returncode == 0
    except OSError:
        is_there = False
    if not is_there:
        made = f"python -m venv {Path(about.python).parents[1]}; " if about.venv else ""
        how = f"{made}{about.python} -m pip install {about.install}"
        print(f"{name} is left out; to install: {how}", file=sys.stderr)
    return is_there


def _once(about: About, samples: Samples, latency_s: float) -> None:
    with tempfile.TemporaryDirectory() as home:
        source, sink = Path(home) / "rows.jsonl", Path(home) / "out"
        rows.write(source, samples.rows)
        task = Task(
            source=str(source),
            sink=str(sink),
            rows=samples.rows,
            processes=PROCESSES,
            in_flight=IN_FLIGHT,
        )
        before, began_s = _children_cpu_s(), time.perf_counter()
        done = subprocess.run(
            [about.python, str(about.file), json.dumps(asdict(task))],
            env={
                **os.environ,
                rows.LATENCY: str(latency_s),
                "PYTHONPATH": str(Path(__file__).parent),
                "OPENAUTOGLM_HOME": home,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        samples.whole_s.append(time.perf_counter() - began_s)
        samples.cpu_s.append(_children_cpu_s() - before)
        samples.refusal = _fault(done, sink, samples.rows)
        if not samples.refusal:
            samples.seconds.append(json.loads(done.stdout.splitlines()[-1])["seconds"])


def _fault(done: subprocess.CompletedProcess[str], sink: Path, count: int) -> str:
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:200]
    found = rows.keys(sink)
    if len(found) == len(set(found)) == count:
        return ""
    return f"{len(found)} rows, {len(set(found))} distinct, of {count}"


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reported(found: dict[tuple[str, str], Samples], rounds: int) -> tuple[dict[str, object], str]:
    shown: list[dict[str, Cell]] = []
    for (kind, name), samples in found.items():
        pace = samples.rows / median(samples.seconds) if samples.seconds else None
        ideal = IN_FLIGHT / LATENCY_S if kind == "slow" else None
        share = round(100 * pace / ideal, 1) if pace and ideal else None
        beside = median(samples.whole_s) - median(samples.seconds) if samples.seconds else None
        shown.append(
            {
                "rows": kind,
                "method": name,
                "count": samples.rows,
                "rows/s": samples.refusal or round(pace or 0),
                "of ideal %": share,
                "start and end s": None if beside is None else round(beside, 2),
                "survives kill -9": METHODS[name].survives,
            }
        )
    here = machine()
    text = (
        f"# Batches in several ways\n\n{table(shown)}\n\nMedians of {rounds} rounds in turn; "
        f"{PROCESSES} processes, {IN_FLIGHT} rows under way. Machine: {here['cpu']}, "
        f"{here['cores']} cores, {here['memory_gib']} GiB, Python {here['python']}.\n"
    )
    kept = [
        {"kind": kind, "method": name, **asdict(samples)} for (kind, name), samples in found.items()
    ]
    return {
        "title": "Batches in several ways",
        "machine": here,
        "rounds": rounds,
        "rows": kept,
    }, text


if __name__ == "__main__":
    main()
