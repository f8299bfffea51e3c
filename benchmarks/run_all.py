"""Run every benchmark and keep its table and JSON in benchmarks/results/.

One that cannot run here says why, and its earlier figures stay.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_BENCHMARKS = {"run_all.py", "timing.py", "call_costs.py", "operators.py"}
SKIPPED = 77  # the exit status of a benchmark that cannot run here


def main() -> None:
    """Run the scripts one after another; the first that fails ends the run."""
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    scripts = [script for script in HERE.glob("*.py") if script.name not in NOT_BENCHMARKS]
    for script in [*sorted(scripts), HERE / "engine" / "engine.py"]:
        print(f"# {script.name}", flush=True)
        target = results / f"{script.stem}.json"
        done = subprocess.run(
            [sys.executable, str(script), "--json", str(target)],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == SKIPPED:
            print(done.stdout, flush=True)
            continue
        done.check_returncode()
        (results / f"{script.stem}.md").write_text(done.stdout, encoding="utf-8")
        print(done.stdout, flush=True)


if __name__ == "__main__":
    main()
