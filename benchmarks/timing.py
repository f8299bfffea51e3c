"""How the benchmarks measure and report: interleaved rounds, medians, the machine named.

Knows nothing of what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Cell = str | int | float | None


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


def report(title: str, rows: Sequence[Mapping[str, Cell]], *, notes: str = "") -> None:
    """Print a table, and write it as JSON where `--json PATH` says."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    target = parser.parse_args().json
    print(f"## {title}\n")
    print(table(rows))
    here = machine()
    print(
        f"\n{notes + ' ' if notes else ''}Machine: {here['cpu']}, {here['cores']} cores, ", end=""
    )
    print(f"{here['memory_gib']} GiB, Python {here['python']}.\n")
    if target is not None:
        document = {"title": title, "machine": here, "notes": notes, "rows": list(rows)}
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
