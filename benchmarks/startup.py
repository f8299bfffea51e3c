"""How long `oag --help` and the imports take, beside peers that are installed here."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from timing import medians_s, report

ROUNDS = 11
BIN = Path(sys.executable).parent
BARE = "python -c pass"
PROGRAMS = {
    BARE: [sys.executable, "-c", "pass"],
    "import openautoglm": [sys.executable, "-c", "import openautoglm"],
    "from openautoglm import AutoGLM, PromptTemplate": [
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
    "peer: import openai": [sys.executable, "-c", "import openai"],
    "peer: import torch": [sys.executable, "-c", "import torch"],
    "peer: import transformers": [sys.executable, "-c", "import transformers"],
    "peer: from transformers import AutoModelForCausalLM": [
        *(sys.executable, "-c"),
        "from transformers import AutoModelForCausalLM",
    ],
}


def main() -> None:
    """Run every program once a round, in turn, and report the medians."""
    programs = {name: command for name, command in PROGRAMS.items() if works(command)}
    cases = {name: partial(start, command) for name, command in programs.items()}
    medians = medians_s(cases, rounds=ROUNDS)
    rows = [
        {
            "program": name,
            "ms": round(median_s * 1e3),
            "ms over a bare interpreter": round((median_s - medians[BARE]) * 1e3),
        }
        for name, median_s in medians.items()
    ]
    absent = ", ".join(name for name in PROGRAMS if name not in programs)
    notes = f"Processes, wall clock, median of {ROUNDS} interleaved rounds, files in the cache."
    report("Start-up time", rows, notes=f"{notes} Not here: {absent}." if absent else notes)


def works(command: list[str]) -> bool:
    """Return whether a program is installed and runs."""
    try:
        start(command)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def start(command: list[str]) -> None:
    """Run a program to its end."""
    subprocess.run(command, capture_output=True, check=True)


if __name__ == "__main__":
    main()
