"""How long `oag --help` and the imports take, beside peers that are installed here.

Every program is run once a round, in turn, so that a slow moment of the machine hits all of them
alike; the table shows medians of wall-clock time, and the excess over a bare interpreter.

Usage: python benchmarks/startup.py [--rounds N] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
BARE = "python -c pass"
PROGRAMS = {
    BARE: [sys.executable, "-c", "pass"],
    "import openautoglm": [sys.executable, "-c", "import openautoglm"],
    "import AutoGLM, PromptTemplate": [
        *(sys.executable, "-c"),
        "from openautoglm import AutoGLM, PromptTemplate",
    ],
    "oag --version": [str(BIN / "oag"), "--version"],
    "oag --help": [str(BIN / "oag"), "--help"],
    "oag run --help": [str(BIN / "oag"), "run", "--help"],
    "oag doctor": [str(BIN / "oag"), "doctor"],
    "import typer": [sys.executable, "-c", "import typer"],
    "import rich.console": [sys.executable, "-c", "import rich.console"],
    "peer: hf --help": [str(BIN / "hf"), "--help"],
    "peer: openai --help": [str(BIN / "openai"), "--help"],
    "peer: import openai": [sys.executable, "-c", "import openai"],
    "peer: import torch": [sys.executable, "-c", "import torch"],
    "peer: import transformers": [sys.executable, "-c", "import transformers"],
    "peer: transformers.AutoModelForCausalLM": [
        *(sys.executable, "-c"),
        "from transformers import AutoModelForCausalLM",
    ],
}


def main() -> None:
    """Measure, print the table, and write it as JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args()
    medians = {name: statistics.median(t) for name, t in measure(options.rounds).items()}
    bare_s = medians[BARE]
    print(f"{machine()}, median of {options.rounds} interleaved rounds")
    print(f"{'program':<42} {'total ms':>9} {'over bare ms':>13}")
    for name, median_s in medians.items():
        print(f"{name:<42} {median_s * 1e3:>9.0f} {(median_s - bare_s) * 1e3:>13.0f}")
    if options.json is not None:
        report = {"machine": machine(), "rounds": options.rounds, "median_s": medians}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every run of every program that runs here."""
    programs = {name: command for name, command in PROGRAMS.items() if works(name, command)}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, command in programs.items():
            started_s = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            times[name].append(time.perf_counter() - started_s)
    return times


def works(name: str, command: list[str]) -> bool:
    """Run a program once, to warm its files up; one that is not installed is left out."""
    try:
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        print(f"left out, not installed: {name}", file=sys.stderr)
        return False
    return True


def machine() -> str:
    """Name the machine: processor, cores, system, Python."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        models = [line.partition(":")[2] for line in cpuinfo.splitlines() if "model name" in line]
    except OSError:
        models = []
    processor = models[0].strip() if models else platform.processor()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
