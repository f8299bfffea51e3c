"""How the benchmarks measure and report: interleaved rounds, medians, the machine named.

Knows nothing of what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Cell = str | int | float | None
QUIET = 0.2
"""So many busy cores do not matter."""


def machine() -> dict[str, object]:
    """Return what a figure depends on: processor, cores, memory, Python."""
    cpu = platform.processor() or "unknown"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def medians_s(cases: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Time every case once a round, in turn, and return the median seconds of each.

    Taking turns spreads noise over all cases alike. One round before the first warms up.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def busy_cores(seconds: float = 1.0) -> float:
    """Return how many cores are busy while this process waits."""
    began = busy_s()
    threading.Event().wait(seconds)
    return (busy_s() - began) / seconds


def noise(busy: float) -> str:
    """Say what so many busy cores, before anything was measured, mean for the times."""
    if busy < QUIET:
        return ""
    return f"Timed while {busy:.1f} cores were busy otherwise: compare the times with each other."


def busy_s() -> float:
    """Return the seconds that cores were busy since the machine started, all together."""
    first = Path("/proc/stat").read_text("ascii").split("\n", 1)[0]
    user, nice, system, _idle, _wait, *rest = map(int, first.split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def report(title: str, rows: Sequence[Mapping[str, Cell]], *, notes: str = "") -> None:
    """Print a table, and write it as JSON where `--json PATH` says."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    publish(title, rows, notes=notes, target=parser.parse_args().json)


def publish(
    title: str,
    rows: Sequence[Mapping[str, Cell]],
    *,
    notes: str,
    target: Path | None,
    more: Mapping[str, object] | None = None,
) -> None:
    """Print a table; write it, and more than it says, as JSON where there is a target."""
    print(f"## {title}\n")
    print(table(rows))
    here = machine()
    print(
        f"\n{notes + ' ' if notes else ''}Machine: {here['cpu']}, {here['cores']} cores, ", end=""
    )
    print(f"{here['memory_gib']} GiB, Python {here['python']}.\n")
    if target is not None:
        document = {"title": title, "machine": here, "notes": notes, "rows": list(rows)}
        document |= more or {}
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def table(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Return rows as a table in Markdown; all have the columns of the first."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_shown(row[column]) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def _shown(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)
