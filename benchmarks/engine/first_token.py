"""How long it takes from the start of a process to the first piece of an answer.

python benchmarks/engine/first_token.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Final

from shapes import NANO

PROGRAM: Final = """
import sys
from openautoglm import AutoGLM
pieces = AutoGLM(sys.argv[1], backend="native").stream("My order A-17 is late.")
sys.stdout.write(next(iter(pieces)))
sys.stdout.flush()
"""


def first_token_s(rounds: int = 5) -> float:
    """Return the median seconds for the model that comes with the package."""
    return statistics.median(_once() for _ in range(rounds + 1))


def _once() -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(NANO)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        piece = process.stdout.read(1)
        taken = time.perf_counter() - began
    if not piece:
        raise SystemExit("no token came")
    return taken


def main() -> None:
    """Print it."""
    print(f"{first_token_s():.2f} s")


if __name__ == "__main__":
    main()
