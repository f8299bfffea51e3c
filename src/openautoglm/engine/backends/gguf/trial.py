"""A GGUF file tried in a process of its own, because llama.cpp ends the process over some damage.

Owns `check_in_another_process` and, run as a program, the trial: load the file, compute one token.
Weights are mapped, not copied, so that reading them twice costs the disk nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from openautoglm.errors import (
    BackendUnavailableError,
    ModelTooLargeError,
    OpenAutoGLMError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_S: Final = 600.0
QUIET: Final = {"GGML_NO_BACKTRACE": "1"}  # it would start a debugger
CONTEXT: Final = 256
_passed: Final[set[tuple[str, int, int]]] = set()


def check_in_another_process(path: Path) -> None:
    """Find out whether llama.cpp survives a file; once for each file of this process.

    Raises:
        WeightsCorruptError: it does not.
        ModelTooLargeError: memory ran out.
        BackendUnavailableError: llama.cpp does not suit the processor.
    """
    state = path.stat()
    key = (str(path), state.st_size, state.st_mtime_ns)
    if key in _passed or not sys.executable:
        return
    try:
        run = subprocess.run(  # noqa: S603 - this Python, this module, a path
            [sys.executable, "-P", "-m", __name__, os.fspath(path)],
            env={**os.environ, **QUIET},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return  # slow, but it lives
    if run.returncode < 0:
        raise _not_survived(path, signal.Signals(-run.returncode), run.stderr)
    _passed.add(key)


def _not_survived(path: Path, by: signal.Signals, said: bytes) -> OpenAutoGLMError:
    if by is signal.SIGILL:
        return BackendUnavailableError(
            "llama.cpp was built for another processor",
            got=f"{path.name}: {by.name}",
            fix="build it here: pip install --force-reinstall --no-cache-dir llama-cpp-python",
        )
    if by is signal.SIGKILL:
        return ModelTooLargeError(
            "memory ran out while the model was tried",
            got=f"{path.name}: {by.name}",
            fix="use a file with smaller weights, or end what else takes memory",
        )
    return WeightsCorruptError(
        "the GGUF file is damaged in a way that llama.cpp does not survive",
        got=f"{path.name}: {_reason(said) or by.name}",
        fix="download or copy it again; if it is whole, update llama-cpp-python",
    )


def _reason(said: bytes) -> str:
    """Return the assertion that failed, "" for none."""
    lines = said.decode("utf-8", "replace").splitlines()
    failed = [line.rpartition("/")[2] for line in lines if "GGML_" in line]
    return failed[-1] if failed else ""


def main() -> None:
    """Load the file that the command line names and compute one token; whatever fails is told."""
    from pathlib import Path

    import numpy as np

    from openautoglm.engine.backends.gguf.model import LlamaModel

    model = LlamaModel(Path(sys.argv[1]), is_trial=True)
    try:
        model.open(slots=1, context=CONTEXT, cells=CONTEXT, threads=1)
        zero = np.zeros(1, np.int64)
        model.forward(zero, zero, zero, zero)
    finally:
        model.close()


if __name__ == "__main__":
    main()
