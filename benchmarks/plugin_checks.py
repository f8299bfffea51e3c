"""Time the checks of a plugin: static rows, the quick check, the full check.

python benchmarks/plugin_checks.py --json benchmarks/results/plugin_checks.json
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from openautoglm.plugins.inspect.static import static_rows
from openautoglm.plugins.inspect.subject import opened
from openautoglm.plugins.trial.nursery import Nursery
from openautoglm.plugins.validation import validate_plugin
from timing import report

PLUGINS = Path(__file__).parents[1] / "plugins"
BROKEN = sorted(file.parent for file in PLUGINS.glob("broken/*/pyproject.toml"))
GOOD = sorted(file.parent for file in PLUGINS.glob("good/*/pyproject.toml"))


def static_s(folder: Path) -> float:
    """Return how long the static rows of one plugin take."""
    start = time.perf_counter()
    with opened(folder) as subject:
        list(static_rows(subject))
    return time.perf_counter() - start


def check_s(folder: Path, nursery: Nursery, *, is_quick: bool) -> float:
    """Return how long a whole check of one plugin takes."""
    start = time.perf_counter()
    found = validate_plugin(folder, profile="quick" if is_quick else "full", nursery=nursery)
    if not found.ok:
        raise SystemExit(f"{folder} is refused:\n{found}")
    return time.perf_counter() - start


def row(what: str, times: list[float]) -> dict[str, str | int | float | None]:
    """Return one row of the table."""
    return {
        "check": what,
        "plugins": len(times),
        "median ms": statistics.median(times) * 1e3,
        "longest ms": max(times) * 1e3,
    }


def main() -> None:
    """Time all three, and the start of the warm process."""
    static_s(GOOD[0])  # what is installed is looked at once a process
    rows = [row("static", [static_s(folder) for folder in (*BROKEN, *GOOD)])]
    start = time.perf_counter()
    with Nursery() as nursery:
        check_s(GOOD[0], nursery, is_quick=True)
        first = time.perf_counter() - start
        rows.append(row("quick, and the start of the warm process", [first]))
        quick = [check_s(folder, nursery, is_quick=True) for folder in GOOD]
        rows.append(row("quick, good plugins", quick))
        full = [check_s(folder, nursery, is_quick=False) for folder in GOOD]
        rows.append(row("full, good plugins", full))
    report("Checks of a plugin", rows, notes="One process after the other, in the sandbox.")


if __name__ == "__main__":
    main()
