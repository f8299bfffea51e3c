"""Run every benchmark and keep its table and JSON in benchmarks/results/.

One that cannot run here says why, and its earlier figures stay.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_BENCHMARKS = {"run_all.py", "timing.py", "call_costs.py", "operators.py"}
JOBS = ("cron", "ledger", "assignment", "cold_start", "throughput", "ten_million")
SKIPPED = 77  # the exit status of a benchmark that cannot run here
OURS = "ours-fp32,ours-int8,ours-int4"
INT8 = "ctranslate2-int8,llama.cpp-q8_0,openvino-q8_0"
TWO_CORES = ("--methods", f"ours-fp32,ours-int8,{INT8}", "--shapes", "1x2,2x1")
COPYING = "ours-fp32-plain,ours-int8-plain"
ENGINE = {
    "engine_nano": (
        *("--models", "nano", "--shapes", "1x1"),
        *("--methods", f"{OURS},{COPYING},transformers-fp32,llama.cpp-f32,{INT8}"),
    ),
    "engine_20m": (
        *("--models", "20m", "--shapes", "1x1"),
        *("--methods", f"{OURS},transformers-fp32,llama.cpp-f32,{INT8},openvino-q8_0-told"),
    ),
    "engine_20m_paged": (
        *("--models", "20m", "--shapes", "1x1", "--work", "uniform,variable"),
        *("--methods", "ours-fp32,transformers-fp32,generate_batch-fp32"),
    ),
    "engine_20m_two_cores": ("--models", "20m", "--work", "uniform,variable,single", *TWO_CORES),
    "engine_150m": (
        *("--models", "150m", "--shapes", "1x1", "--scale", "0.5"),
        *("--work", "uniform,variable,shared,single,json"),
        *("--methods", f"{OURS},{INT8}"),
    ),
    "engine_150m_fp32": (
        *("--models", "150m", "--shapes", "1x1", "--work", "uniform,variable"),
        *("--scale", "0.25", "--methods", "ours-fp32,transformers-fp32,llama.cpp-f32"),
    ),
    "engine_json": (
        *("--models", "20m,150m", "--shapes", "1x1", "--methods", "ours-int8"),
        *("--work", "uniform,json,json-steps"),
    ),
    "engine_copying": (
        *("--models", "20m,150m,0.5b", "--shapes", "1x1"),
        *("--methods", "ours-int8,ours-int8-plain"),
        *("--work", "copying-said,copying-said-single"),
    ),
    "engine_0.5b": (
        *("--models", "0.5b", "--shapes", "1x1", "--work", "uniform,variable,single,json"),
        *("--methods", f"ours-int8,ours-int4,{INT8}"),
    ),
}
"""Tables of the engine and its peers, and what each is asked for: all of it would take a day."""


def main() -> None:
    """Run the scripts one after another; the first that fails ends the run."""
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    scripts = [script for script in HERE.glob("*.py") if script.name not in NOT_BENCHMARKS]
    jobs = [HERE / "jobs" / f"{name}.py" for name in JOBS]
    whole = {script.stem: (script, ()) for script in [*sorted(scripts), *jobs]}
    whole |= {name: (HERE / "engine/engine.py", asked) for name, asked in ENGINE.items()}
    for name, (script, asked) in whole.items():
        print(f"# {name}", flush=True)
        target = results / f"{name}.json"
        done = subprocess.run(
            [sys.executable, str(script), *asked, "--json", str(target)],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == SKIPPED:
            print(done.stdout, flush=True)
            continue
        done.check_returncode()
        (results / f"{name}.md").write_text(done.stdout, encoding="utf-8")
        print(done.stdout, flush=True)


if __name__ == "__main__":
    main()
